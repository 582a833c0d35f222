"""Limits everything besides bodies that a connection can send, keep in memory, or fail to do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from harmgauge.server.connections import SMALL_BUFFER_BYTES, Connections
from harmgauge.server.pipelined import PipelinedHttpProtocol

MAX_FRAMING_BYTES = 64 * 2**10
"""Limit for a head, and for the chunk framing of a body plus the bytes after it, which are not counted elsewhere."""

FRAMING_PER_BYTE = 9
"""Framing allowed per byte of a body: even chunks of one byte each have less."""

MAX_FIELDS = 100
"""Limit for a head, and for the trailers after a body.

Each field takes about 200 bytes of memory, however short it is.
"""


class TooManyFields(ValueError):
    """Stops the parser."""


class GuardedHttpProtocol(PipelinedHttpProtocol):
    """Bounds everything but bodies, and closes connections that make no progress: that never send a complete head, or
    never take their response.

    Checks every `timeout_seconds` whether anything changed since the last check: the head (each has a new list of
    headers) or the number of unsent bytes. One timer for each connection rather than each request, also for the end of
    an idle connection, which may come that much later than uvicorn's. Reports the memory that the connection holds to
    `everyone`, which may close it. Calls `refused` with the status of each refusal.
    """

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - uvicorn's own
        timeout_seconds: float,
        everyone: Connections,
        refused: Callable[[int], None],
        **named: Any,  # noqa: ANN401 - uvicorn's own
    ) -> None:
        super().__init__(*arguments, **named)
        self._timeout_seconds = timeout_seconds
        self._everyone = everyone
        self._refused = refused
        self._address = ""
        self._framing_bytes = 0  # bytes since the last complete head, beyond those that its body explains
        self._trailers = -1  # fields after the body; -1 while the head is being read
        self._is_buffered = False
        self._stood: tuple[object, int] = None, 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits_for_client(self) -> bool:
        """Whether the client has to act next."""
        return self.flow.write_paused or not self._is_answering() or self._worked_on.more_body

    def give_up(self) -> None:
        """Close the connection now, discarding unsent data."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's is wider
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(SMALL_BUFFER_BYTES)
        self._address = self.client[0] if self.client else ""
        if not self._everyone.add(self, self._address):
            self._refuse(503)
            return
        self._timer = self.loop.call_later(self._timeout_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.remove(self, self._address)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._everyone.active(self, self._address)
        self._framing_bytes += len(data)
        super().data_received(data)
        if self._framing_bytes > MAX_FRAMING_BYTES and not self.transport.is_closing():
            if self._is_answering():
                self.transport.close()
            else:
                self._refuse(431)
        if self._framing_bytes > SMALL_BUFFER_BYTES or self.pipeline:
            self._tell_of_buffers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._trailers = -1

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._trailers >= 0:  # trailers are unused here, and must not be taken for fields of the head
            self._trailers += 1
        else:
            super().on_header(name, value)
        if self._trailers > MAX_FIELDS or len(self.headers) > MAX_FIELDS:
            raise TooManyFields

    def on_headers_complete(self) -> None:
        self._framing_bytes = 0
        self._trailers = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = max(0, self._framing_bytes - FRAMING_PER_BYTE * len(body))
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_buffered:
            self._tell_of_buffers()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._tell_of_buffers()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._tell_of_buffers()

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()  # the parser's own error is "invalid request" for any failure
        cause = None if error is None else error.__context__
        # A refusal would be taken for the response to an earlier request, if one is waiting; trailers belong to a
        # request that has already started.
        if self.pipeline or (isinstance(cause, TooManyFields) and self._trailers > 0):
            self.transport.close()
            return
        self._refuse(503 if isinstance(cause, MemoryError) else 431 if isinstance(cause, TooManyFields) else 400)

    def _is_answering(self) -> bool:
        """Whether a response is pending: it is the service's turn, whatever the client sends."""
        return self.cycle is not None and not self.cycle.response_complete

    def _tell_of_buffers(self) -> None:
        unsent_bytes = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        waiting_bytes = self.flow.waiting_bytes() if self.pipeline else 0
        size_bytes = self._framing_bytes + waiting_bytes + unsent_bytes
        if self._is_buffered or size_bytes > SMALL_BUFFER_BYTES:
            self._is_buffered = size_bytes > SMALL_BUFFER_BYTES
            self._everyone.buffer(self, size_bytes)

    def _look(self) -> None:
        unsent_bytes = self.transport.get_write_buffer_size()
        if self.transport.is_closing() and not unsent_bytes:
            return
        self._timer = self.loop.call_later(self._timeout_seconds, self._look)
        before, before_bytes = self._stood
        self._stood = self.headers, unsent_bytes
        if self.headers is not before or unsent_bytes != before_bytes:
            return
        if unsent_bytes:  # a plain close would wait for it
            self.transport.abort()
        elif self._framing_bytes and not self._is_answering():
            self._refuse(408)
        elif not self._is_answering() and self._is_done():
            self.transport.close()

    def _is_done(self) -> bool:
        """Whether an idle connection has never sent a request, or none for the time for which it is kept alive."""
        idle_seconds = self.loop.time() - self.idle_since
        return not 0 <= idle_seconds < self.timeout_keep_alive

    def _refuse(self, status: int) -> None:
        if not self._is_answering():  # otherwise the request is counted as abandoned by its client
            self._refused(status)
        lines = [STATUS_LINE[status].rstrip(), b"content-length: 0", b"connection: close", b"", b""]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()
