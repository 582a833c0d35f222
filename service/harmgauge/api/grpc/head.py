"""What the head of a gRPC call says, and who is refused by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from harmgauge.api.grpc.protocol import SERVICE
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.errors import RequestError

_METADATA = {"authorization", "x-request-id", "traceparent", "tracestate"}
"""What means the same as the header of that name."""


class AuthorizingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses a call by its head; `refused` makes the handler of one."""

    def __init__(self, authorizer: Authorizer, refused: Callable[[str, RequestError], grpc.RpcMethodHandler]) -> None:
        self._authorizer = authorizer
        self._refused = refused

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler is None:  # there is no such call
            return None
        try:
            self._authorizer.check(permission_of(details.method), headers_of(details.invocation_metadata))
        except RequestError as error:
            return self._refused(details.method, error)
        return handler


_FREE = frozenset({f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"})


def permission_of(method: str) -> Permission:
    """Of a call, by its whole name: only whether the server is alive and ready needs no key."""
    return Permission.HEALTH if method in _FREE else Permission.SCORES


def headers_of(metadata: Any) -> list[tuple[bytes, bytes]]:
    """As HTTP would have brought them; the names are in lower case."""
    return [
        (name.encode(), value.encode())
        for name, value in metadata or ()
        if name in _METADATA and isinstance(value, str)
    ]
