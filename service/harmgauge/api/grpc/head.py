"""The head of a gRPC call."""

from __future__ import annotations

from typing import Any

from harmgauge.api.grpc.protocol import HEALTH_SERVICE, SERVICE
from harmgauge.auth.policy import Permission

_METADATA = {"authorization", "x-request-id", "traceparent", "tracestate"}
"""Metadata with the same meaning as the HTTP header of that name."""

_OPEN = (f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady", f"/{HEALTH_SERVICE}/")


def permission_of(method: str) -> Permission:
    """Permission that a call requires, by its full name: only the server's liveness and readiness need no key."""
    return Permission.HEALTH if method.startswith(_OPEN) else Permission.SCORES


def headers_of(metadata: Any) -> list[tuple[bytes, bytes]]:
    """The metadata as HTTP headers, with lower-case names."""
    return [
        (name.encode(), value.encode())
        for name, value in metadata or ()
        if name in _METADATA and isinstance(value, str)
    ]
