"""A gRPC call from start to end: its sender, its message (read on request), and its response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, ParamSpec

import grpc

from harmgauge.api.data_plane import DataPlane
from harmgauge.api.grpc.head import headers_of, permission_of
from harmgauge.api.grpc.open_calls import OpenCalls
from harmgauge.api.grpc.reads import Reads, reads_for
from harmgauge.api.middleware import request_id_of
from harmgauge.auth.policy import Authorizer, Permission, Principal
from harmgauge.errors import CallerLeft, RequestError, Unreadable, no_memory, unforeseen
from harmgauge.observe.access_log import AccessLog
from harmgauge.observe.request_summary import RequestSummary
from harmgauge.rollout.served import ServedBundle

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

P = ParamSpec("P")

LEAVING_SECONDS = 0.2
"""When a client leaves, its call is cancelled within this time after the end of its message."""


class Refusal(NamedTuple):
    """The error that a client receives; it keeps no reference to the original."""

    status: grpc.StatusCode
    code: str
    detail: str
    retry_after_seconds: int | None


def refusal(error: Exception) -> Refusal:
    told = error if isinstance(error, RequestError) else unforeseen()
    status = CODES.get(told.status, grpc.StatusCode.INTERNAL)
    return Refusal(status, told.code, told.detail, told.retry_after_seconds)


class GrpcCall:
    """One call; `deadline` is the earlier of the client's and the service's, by the event loop's clock."""

    def __init__(self, reads: Reads, plane: DataPlane, context: Any) -> None:
        metadata = context.invocation_metadata() or ()
        self.context = context
        self.headers = headers_of(metadata)
        self.request_id = request_id_of(self.headers)
        self.connection: str = context.peer()
        self.seconds: float | None = context.time_remaining()  # None if the client set no deadline
        self.deadline = plane.deadline(asyncio.get_running_loop().time(), self.seconds)
        self._metadata = metadata
        self._reads = reads
        self._ending: asyncio.Task[None] | None = None

    def named(self, name: str) -> str | None:
        """The value of a metadata entry, by its lower-case name."""
        return next((value for key, value in self._metadata if key == name and isinstance(value, str)), None)

    async def message(self, principal: Principal) -> bytes:
        """Receive the call's message once it is its turn. Raises Overloaded, DeadlinePassed, and Unreadable if there is
        none.
        """
        holder = principal.name, self.connection
        message = await self._reads.read(self.context.read, self._end, holder, self.deadline)
        if message is grpc.aio.EOF:
            await asyncio.sleep(LEAVING_SECONDS)
            raise Unreadable("The call ended without a message.")
        return message

    def when_done(self, function: Callable[P, object], *arguments: P.args, **named: P.kwargs) -> None:
        """Register a function that runs once the client has taken the response or is gone."""
        self.context.add_done_callback(lambda _: function(*arguments, **named))

    def _end(self, error: RequestError) -> None:
        self._ending = asyncio.create_task(self._abort(refusal(error)))

    async def _abort(self, refused: Refusal) -> None:
        with suppress(grpc.aio.BaseError):
            await self.refuse(refused)

    async def refuse(self, refused: Refusal) -> None:
        """Send the refusal to the client, unless that has been done. Raises AbortError, for gRPC to handle.

        Sends only a status: if a handler merely sets it, gRPC adds an empty message, which the client need not take.
        """
        if self._ending is not None and asyncio.current_task() is not self._ending:
            await self._ending
            return
        retry = refused.retry_after_seconds
        more = () if retry is None else (("retry-after", str(retry)),)
        trailing = (("code", refused.code), ("x-request-id", self.request_id), *more)
        await self.context.abort(refused.status, refused.detail, trailing)


Work = Callable[[GrpcCall, ServedBundle, Principal, Any], Awaitable[bytes]]
"""Handles a call: (the call, the bundle in service, its sender, progress to fill in if requested)."""


class Answerer:
    """Answers, counts, logs and traces calls; `current` returns the bundle for a call that begins now."""

    def __init__(
        self,
        current: Callable[[], ServedBundle],
        plane: DataPlane,
        authorizer: Authorizer,
        access_log: AccessLog,
        open_calls: OpenCalls,
    ) -> None:
        self._current = current
        self._plane = plane
        self._authorizer = authorizer
        self._access_log = access_log
        self._open_calls = open_calls
        self._reads = Reads(reads_for(plane.max_body_bytes))

    def handlers(self, service: str, works: dict[str, Work]) -> dict[str, grpc.RpcMethodHandler]:
        """Handlers of a service's calls, by name."""
        return {name: self._handler(f"/{service}/{name}", work) for name, work in works.items()}

    def _handler(self, route: str, work: Work) -> grpc.RpcMethodHandler:
        """A handler for streams, so that a call's message is read only when `work` asks for it."""

        async def run(_: Any, context: Any) -> bytes:
            return await self._answer(route, GrpcCall(self._reads, self._plane, context), work)

        return grpc.stream_unary_rpc_method_handler(run)

    async def _answer(self, route: str, call: GrpcCall, work: Work) -> bytes:
        begin = time.perf_counter()
        permission = permission_of(route)
        entry = None
        if self._access_log.follows_all:
            entry = self._access_log.begin(call.headers, traced=permission is not Permission.HEALTH)
        call.context.set_trailing_metadata([("x-request-id", call.request_id)])
        status = grpc.StatusCode.CANCELLED  # the status unless something else is set: the client left
        failed: Exception | None = None
        refused: Refusal | None = None
        answer = b""
        with self._current() as serving:
            try:
                self._begin(call)
                principal = self._admit(permission, call)
                answer = await work(call, serving, principal, None if entry is None else entry.progress)
                status = grpc.StatusCode.OK
            except CallerLeft:
                pass
            except Exception as error:
                failed = no_memory() if isinstance(error, MemoryError) else error
                refused = refusal(failed)
                status = refused.status
            finally:
                self._access_log.finish(
                    entry,
                    RequestSummary(
                        protocol="grpc",
                        method="POST",
                        route=route,
                        status=status.name,
                        seconds=time.perf_counter() - begin,
                        request_id=call.request_id,
                        bundle=serving.components.title,
                        code=None if refused is None else refused.code,
                        key_name=self._authorizer.name_of(call.headers),
                        error=failed,
                    ),
                )
                # Its traceback references this frame: the cycle would keep the message until the garbage collector
                # runs.
                failed = None
        if refused is not None:
            await call.refuse(refused)
        return answer

    def _begin(self, call: GrpcCall) -> None:
        self._open_calls.begin(call.connection)
        call.when_done(self._open_calls.end, call.connection)

    def _admit(self, permission: Permission, call: GrpcCall) -> Principal:
        """Check a call using only its head. Raises Unauthorized, Forbidden or RateLimited."""
        principal = self._authorizer.check(permission, call.headers)
        principal.begin(permission, scores=permission is Permission.SCORES)
        return principal
