"""Receives a request's body over HTTP: within the deadline, no larger than allowed, and only while the service accepts
work.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from harmgauge.api.answer import PiecewiseResponse
from harmgauge.api.body.decode import Body
from harmgauge.api.data_plane import Call, DataPlane
from harmgauge.api.exchange import Exchange
from harmgauge.api.scope import EXCHANGE, HEADERS, PROGRESS
from harmgauge.auth.names import CLIENT, SOURCE
from harmgauge.auth.policy import PRINCIPAL, Principal
from harmgauge.errors import CallerLeft, DeadlinePassed, InvalidParameters, Overloaded, TooLarge, UnknownMediaType
from harmgauge.inference.caller import Origin

DEADLINE_HEADER = "X-Harmgauge-Deadline-Seconds"

_CLIENT = CLIENT.lower().encode()
_SOURCE = SOURCE.lower().encode()
_DEADLINE = DEADLINE_HEADER.lower().encode()

_DISCARD_BYTES = 64 * 2**20
_DISCARD_SECONDS = 2.0


class HttpCall(Call):
    """A call over HTTP; `headers` are its headers by lower-case name.

    Raises InvalidParameters for an invalid deadline, and the errors of any call.
    """

    def __init__(self, plane: DataPlane, request: Request, route: str, *, to_score: bool = True) -> None:
        scope = request.scope
        self._receive = receive = request.receive
        self._is_given_up = False
        self._exchange: Exchange | None = scope.get(EXCHANGE)
        self.headers = headers = scope[HEADERS] if HEADERS in scope else texts(scope["headers"])
        asked = headers.get(_DEADLINE)
        principal: Principal = scope[PRINCIPAL]
        super().__init__(
            plane,
            principal,
            Origin(scope["request_id"], route, principal.name),
            left_by(scope, receive),
            scope.get(PROGRESS),
            connection=scope.get("client"),
            seconds=None if asked is None else read_deadline(asked),
            client=headers.get(_CLIENT),
            source=headers.get(_SOURCE),
            to_score=to_score,
        )

    async def body(self) -> Body:
        """Receive the whole body.

        Raises UnknownMediaType if it is compressed, TooLarge as soon as it is certain to exceed the limit, RateLimited
        for the key, Overloaded if too many bytes are already held, DeadlinePassed if it is not complete in time, and
        CallerLeft if the client disconnects.
        """
        declared = self.headers.get(b"content-length")
        # The server ensures that these are digits, but not how many.
        if declared is not None and (len(declared) > 18 or int(declared) > self.plane.max_body_bytes):
            raise await self._too_large(more=self._exchange is None or self._exchange.is_receiving())
        if self.headers.get(b"content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise UnknownMediaType(
                "Compressed bodies are not supported; send the body without Content-Encoding.",
                headers={"Accept-Encoding": "identity"},
            )
        if declared is not None and self.principal.rate_limit is not None:
            self.principal.rate_limit.take_bytes(int(declared))
        if self._exchange is not None and (whole := self._exchange.whole_body()) is not None:
            self._take_bytes(whole)
            if self.held_bytes > self.plane.max_body_bytes:
                raise await self._too_large(more=False)
            return whole
        try:
            async with asyncio.timeout_at(self.context.deadline) as limit:
                self.claim.waits_for_client(partial(self._give_up, limit))
                return await self._in_pieces()
        except TimeoutError:
            if self._is_given_up:
                raise Overloaded(
                    "Other requests needed the memory before the body was complete; try again later.",
                    retry_after_seconds=1,
                    closes=True,
                ) from None
            raise DeadlinePassed(
                "The body was incomplete at the request's deadline; send less at once, or over a faster connection.",
                closes=True,
            ) from None
        finally:
            self.claim.waits_for_client(None)

    def deliver(self, answer: PiecewiseResponse) -> PiecewiseResponse:
        """Hold the response's bytes until the client has taken it, or other requests need the memory."""
        self.shrink(answer.size_bytes)
        self._is_kept = True
        self.claim.waits_for_client(None if self._exchange is None else self._exchange.abort)
        answer.ended = self.release
        return answer

    def _give_up(self, limit: asyncio.Timeout) -> None:
        self._is_given_up = True
        limit.reschedule(0.0)

    async def _in_pieces(self) -> Body:
        body = bytearray()  # joining parts at the end would delay every other request
        more = True
        while more:
            message = await self._receive()
            body += await self._take(message)
            more = bool(message.get("more_body"))
        return body

    async def _take(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise CallerLeft
        piece: bytes = message.get("body", b"")
        self._take_bytes(piece)
        if self.held_bytes > self.plane.max_body_bytes:
            raise await self._too_large(more=bool(message.get("more_body")))
        return piece

    def _take_bytes(self, piece: Body) -> None:
        self.hold(len(piece))
        if self.principal.rate_limit is not None and b"content-length" not in self.headers:
            self.principal.rate_limit.take_bytes(len(piece))

    async def _too_large(self, *, more: bool) -> TooLarge:
        if more:
            await _discard(self._receive)
        # Part of the body may still be unread, so the connection cannot be reused.
        limit = f"{self.plane.max_body_bytes} bytes (HARMGAUGE_MAX_BODY_BYTES)"
        return TooLarge(f"The body is larger than {limit}; split the request.", closes=True)


def texts(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """The headers by name, with their values as text."""
    return {name: str(value, "latin-1") for name, value in headers}


def left_by(scope: Scope, receive: Receive) -> Callable[[], bool]:
    """A function that returns whether the client has disconnected."""
    exchange: Exchange | None = scope.get(EXCHANGE)
    # Not a method of HttpCall: the resulting reference cycle would keep each body until the garbage collector runs.
    return partial(_has_left, receive) if exchange is None else exchange.has_left


def _at_once(receive: Receive) -> Message | None:
    """Return the message that the server has ready, or None if `receive` would wait.

    Runs one step of the coroutine, and closes it if that was not enough. Checking this way whether the client is still
    connected takes a microsecond or two; a task that waits for the client takes ten.
    """
    step = cast("Coroutine[Any, Any, Message]", receive())
    try:
        step.send(None)
    except StopIteration as ready:
        return cast("Message", ready.value)
    step.close()
    return None


def _has_left(receive: Receive) -> bool:
    """Whether the client has disconnected; discards any piece of the body that is still to come."""
    message = _at_once(receive)
    return message is not None and message["type"] == "http.disconnect"


def read_deadline(text: str) -> float:
    """Parse a deadline in seconds from now; raises InvalidParameters."""
    with suppress(ValueError):
        seconds = float(text)
        if 0 < seconds < math.inf:
            return seconds
    raise InvalidParameters(f"{DEADLINE_HEADER}: expected a number of seconds above 0, got {text[:40]!r}.")


async def _discard(receive: Receive) -> None:
    """Keep reading for a while: closing with unread data resets the connection before the client sees its response."""
    left_bytes = _DISCARD_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while left_bytes > 0:
                message = await receive()
                if not message.get("more_body"):
                    return
                left_bytes -= len(message["body"])
