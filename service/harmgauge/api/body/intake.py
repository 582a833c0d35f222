"""A request's body: in time, no larger than allowed, and only while work is taken."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from harmgauge.api.scope import PROGRESS, route_of
from harmgauge.auth.policy import PRINCIPAL
from harmgauge.errors import CallerLeft, DeadlinePassed, InvalidParameters, Overloaded, TooLarge, UnknownMediaType
from harmgauge.inference.caller import Origin, RequestContext
from harmgauge.readiness import Readiness

DEADLINE_HEADER = "X-Harmgauge-Deadline-Seconds"

CLIENT_HEADER = "X-Harmgauge-Client"

_CLIENT = CLIENT_HEADER.lower().encode()
_DEADLINE = DEADLINE_HEADER.lower().encode()

_DISCARD_BYTES = 64 * 2**20
_DISCARD_SECONDS = 2.0


class Intake:
    """What every route that scores does first. Knows how many bytes of unanswered bodies the process holds."""

    def __init__(
        self, readiness: Readiness, max_body_bytes: int, max_bodies_bytes: int, deadline_seconds: float
    ) -> None:
        self.readiness = readiness
        self.max_body_bytes = max_body_bytes
        self.max_bodies_bytes = max_bodies_bytes
        self.deadline_seconds = deadline_seconds
        self.bodies_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Count so many bytes more, to be given back by `release`; raises Overloaded where they are too many."""
        self.bodies_bytes += size_bytes
        if self.bodies_bytes > self.max_bodies_bytes:
            raise Overloaded(
                f"The bodies of all unanswered requests take {self.max_bodies_bytes} bytes already; try again later.",
                {"Retry-After": "1", "Connection": "close"},
            )

    def release(self, size_bytes: int) -> None:
        self.bodies_bytes -= size_bytes

    def call(self, request: Request, *, to_score: bool = True) -> Call:
        """Raises NotReady (for what is not to be scored, only as the service starts and drains), and InvalidParameters
        where the deadline's header makes no sense.
        """
        self.readiness.check(to_score=to_score)
        headers = {name: str(value, "latin-1") for name, value in request.scope["headers"]}
        seconds = self.deadline_seconds
        asked = headers.get(_DEADLINE)
        if asked is not None:
            seconds = min(seconds, read_deadline(asked))
        return Call(self, request, headers, asyncio.get_running_loop().time() + seconds)


class Call:
    """One request from its first byte to its answer; a context, which holds the body's bytes against the bound.

    `headers` has them by name, in lower case.
    """

    def __init__(self, intake: Intake, request: Request, headers: dict[bytes, str], deadline: float) -> None:
        self._intake = intake
        self._receive = receive = request.receive
        self.headers = headers
        self._held_bytes = 0
        self.caller = RequestContext(
            deadline,
            partial(_left, receive),
            headers.get(_CLIENT),
            _origin(request.scope),
            request.scope.get(PROGRESS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._intake.release(self._held_bytes)

    async def body(self) -> bytes:
        """The whole body.

        Raises UnknownMediaType where it is compressed, TooLarge as soon as it must be over the limit, Overloaded where
        too many bodies are held already, DeadlinePassed where it is not whole by then, CallerLeft where it never will
        be.
        """
        declared = self.headers.get(b"content-length")
        # The server lets only digits through to here, but any number of them.
        if declared is not None and (len(declared) > 18 or int(declared) > self._intake.max_body_bytes):
            raise await self._too_large(more=True)
        if self.headers.get(b"content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise UnknownMediaType(
                "Compressed bodies are not taken; send it without Content-Encoding.", {"Accept-Encoding": "identity"}
            )
        message = at_once(self._receive)
        if message is not None and not message.get("more_body"):
            return await self._take(message)
        try:
            async with asyncio.timeout_at(self.caller.deadline):
                return await self._in_pieces(message)
        except TimeoutError:
            raise DeadlinePassed(
                "The body was not whole by the request's deadline; send less at once, or over a faster way.",
                {"Connection": "close"},
            ) from None

    async def _in_pieces(self, message: Message | None) -> bytes:
        pieces: list[bytes] = []
        if message is not None:
            pieces.append(await self._take(message))
        while message is None or message.get("more_body"):
            message = await self._receive()
            pieces.append(await self._take(message))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _take(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise CallerLeft
        piece: bytes = message.get("body", b"")
        self._held_bytes += len(piece)
        self._intake.hold(len(piece))
        if self._held_bytes > self._intake.max_body_bytes:
            raise await self._too_large(more=bool(message.get("more_body")))
        return piece

    async def _too_large(self, *, more: bool) -> TooLarge:
        if more:
            await _discard(self._receive)
        # Not all of the body may have been read, so the connection cannot be used again.
        detail = f"The body is larger than {self._intake.max_body_bytes} bytes; split the request."
        return TooLarge(detail, {"Connection": "close"})


def at_once(receive: Receive) -> Message | None:
    """What the server has ready; None where `receive` would wait.

    One step of its coroutine, which is closed if that was not enough. It tells whether the client is still there at
    the cost of a microsecond or two, a task that waits for it costs ten.
    """
    step = cast("Coroutine[Any, Any, Message]", receive())
    try:
        step.send(None)
    except StopIteration as ready:
        return cast("Message", ready.value)
    step.close()
    return None


def _origin(scope: Scope) -> Origin:
    return Origin(scope["request_id"], route_of(scope), scope[PRINCIPAL].name)


def _left(receive: Receive) -> bool:
    # No method of Call: that would be a cycle, and keep each body until the collector comes round.
    message = at_once(receive)
    return message is not None and message["type"] == "http.disconnect"


def read_deadline(text: str) -> float:
    """Seconds from now; raises InvalidParameters."""
    with suppress(ValueError):
        seconds = float(text)
        if 0 < seconds < math.inf:
            return seconds
    raise InvalidParameters(f"{DEADLINE_HEADER} must be a number of seconds above 0, not {text[:40]!r}.")


async def _discard(receive: Receive) -> None:
    """Read on for a while: closing with unread data resets the connection before the client has seen its answer."""
    left_bytes = _DISCARD_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while left_bytes > 0:
                message = await receive()
                if not message.get("more_body"):
                    return
                left_bytes -= len(message["body"])
