"""Uvicorn's HTTP protocol, with what it lacks: one write per answer, and bounds on what a client can send or keep.

A body is bounded by `Intake`, in bytes and by its deadline, and an idle connection by uvicorn's own timeout. Each class
here adds one thing and names the fault it mends. Keep them in this order: each builds on the one above.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from harmgauge.errors import SettingsError

_OVERRIDDEN = {
    HttpToolsProtocol: (
        *("connection_made", "connection_lost", "data_received", "on_headers_complete", "on_body"),
        *("on_message_complete", "on_response_complete", "send_400_response", "_unset_keepalive_if_required"),
    ),
    FlowControl: ("resume_reading",),
    uvicorn.Server: ("startup", "shutdown", "handle_exit"),
}
"""What the classes here and `process.Server` override or call, and a new version of uvicorn may rename."""


def check_uvicorn() -> None:
    """Raises SettingsError if the uvicorn that is installed lacks what the service overrides."""
    for base, names in _OVERRIDDEN.items():
        for name in names:
            if not callable(getattr(base, name, None)):
                raise SettingsError(
                    f"uvicorn {uvicorn.__version__} does not fit: {base.__name__} has no {name}. Install the version "
                    "that harmgauge asks for: pip install --upgrade harmgauge"
                )


class CorkedTransport:
    """Keeps what is written until the event loop's next round. All else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        kept, self._kept = self._kept, []
        if kept and not self._transport.is_closing():  # the client may have left since
            self._transport.write(kept[0] if len(kept) == 1 else b"".join(kept))


class CorkedHttpProtocol(HttpToolsProtocol):
    """Sends head and body of an answer in one write.

    Uvicorn writes them one after the other. Each write is a system call, a packet and a wake-up of the client: a tenth
    of the event loop's work for a small request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", CorkedTransport(transport, self.loop)))


class OfferIgnoringHttpProtocol(CorkedHttpProtocol):
    """Answers clients that offer to upgrade to another protocol, and ignores the offer, as RFC 9110 (7.8) allows.

    Java's HttpClient offers HTTP/2 by default, and so does `curl --http2`. The parser takes such a head for the last of
    HTTP on its connection. Uvicorn then drops the body, or reads it as the next request, which the body's author could
    choose.
    """

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._parse(rest) :]
        except HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # else only the head is complete
            super().on_message_complete()

    def _parse(self, data: memoryview) -> int:
        """Feed the parser; gives how much it took."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self._parse_again_without_offer()
            taken: int = offer.args[0]
            return taken
        return len(data)

    def _parse_again_without_offer(self) -> None:
        """Have a new parser where the old one was, behind a head that offers nothing."""
        version = self.parser.get_http_version().encode()
        fields = [b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = HttpRequestParser(_AfterTheHead(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        # The request is known from the first time: the method changes nothing of how its body is read.
        self.parser.feed_data(b"POST / HTTP/%s\r\n%s\r\n" % (version, b"".join(fields)))


class _AfterTheHead:
    """What a parser reports to that is given a head for the second time: nothing of that head is passed on."""

    def __init__(self, protocol: OfferIgnoringHttpProtocol) -> None:
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete
        self._protocol = protocol
        self._is_behind = False

    def on_message_begin(self) -> None:
        if self._is_behind:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._is_behind:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_behind:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_behind:
            self._protocol.on_headers_complete()
        self._is_behind = True


MAX_WAITING_REQUESTS = 128
"""On one connection. Each takes some 2 KB and 8 us as it is read; clients that pipeline send a few dozen at most."""


class _Flow(FlowControl):
    """Reads on only while the bodies that wait are small: the rest stays with the client."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting or sum(len(cycle.body) for cycle, _ in self._waiting) <= HIGH_WATER_LIMIT:
            super().resume_reading()


class PipelinedHttpProtocol(OfferIgnoringHttpProtocol):
    """Bounds what is sent ahead: requests that arrive while an earlier one is answered.

    Uvicorn keeps them in a list without a bound, and every answer, and every check that a client is still there, reads
    on. One connection could fill the memory with requests, or with a body, before anybody saw its key.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(self.transport, self.pipeline)
        self._worked_on: Any = None  # the request that is answered now, or was last: `cycle` is the last that came

    def connection_lost(self, exc: Exception | None) -> None:
        worked_on = self._worked_on
        if worked_on is not None and not worked_on.response_complete:
            worked_on.disconnected = True
            worked_on.message_event.set()
        super().connection_lost(exc)
        self.pipeline.clear()  # nobody waits for their answers, and each refers to this connection

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if not self.pipeline:
            self._worked_on = self.cycle
        elif len(self.pipeline) > MAX_WAITING_REQUESTS:
            raise ValueError("too many requests sent ahead")  # ends the parser, which has the rest of the data

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._worked_on, _ = self.pipeline[-1]
        super().on_response_complete()


MAX_FRAMING_BYTES = 64 * 2**10
"""Of a head; and of what stands around the pieces of a body, or behind it, of which nobody keeps count either."""

FRAMING_PER_BYTE = 9
"""A body in pieces of a byte each has less."""


class GuardedHttpProtocol(PipelinedHttpProtocol):
    """Bounds what is no body, and closes a connection that makes no progress: one that never sends a whole head, or
    never takes its answer.

    Checks every `timeout_seconds` whether anything changed since the last check: the head (each has a new list of
    headers) or the number of unsent bytes. One timer for each connection rather than each request. Calls `refused` with
    the status of each refusal.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - uvicorn's own
        timeout_seconds: float,
        refused: Callable[[int], None],
        **named: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*arguments, **named)
        self._timeout_seconds = timeout_seconds
        self._refused = refused
        self._framing_bytes = 0  # of what came since the last whole head, those beyond what its body explains
        self._stood: tuple[object, int] = None, 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self._timeout_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn does so only after a clean close: 75 s of memory for each reset

    def data_received(self, data: bytes) -> None:
        self._framing_bytes += len(data)
        super().data_received(data)
        if self._framing_bytes > MAX_FRAMING_BYTES and not self.transport.is_closing():
            if self._is_answering():
                self.transport.close()
            else:
                self._refuse(431)

    def on_headers_complete(self) -> None:
        self._framing_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = max(0, self._framing_bytes - FRAMING_PER_BYTE * len(body))
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        if self.pipeline:  # others wait for their answers: for one of those it would be taken
            self.transport.close()
            return
        error = sys.exception()  # the parser's, who calls it an invalid request whatever failed as it was read
        self._refuse(503 if error is not None and isinstance(error.__context__, MemoryError) else 400)

    def _is_answering(self) -> bool:
        """Whether an answer is still to come: the service is the one to act, whatever the client sends behind it."""
        return self.cycle is not None and not self.cycle.response_complete

    def _look(self) -> None:
        unsent_bytes = self.transport.get_write_buffer_size()
        if self.transport.is_closing() and not unsent_bytes:
            return
        self._timer = self.loop.call_later(self._timeout_seconds, self._look)
        before, before_bytes = self._stood
        self._stood = self.headers, unsent_bytes
        if self.headers is not before or unsent_bytes != before_bytes:
            return
        if unsent_bytes:  # which a mere close would wait for
            self.transport.abort()
        elif self._framing_bytes and not self._is_answering():
            self._refuse(408)
        elif not self._is_answering() and self.timeout_keep_alive_task is None:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        if not self._is_answering():  # else the request is counted as one that was left
            self._refused(status)
        lines = [STATUS_LINE[status].rstrip(), b"content-length: 0", b"connection: close", b"", b""]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()
