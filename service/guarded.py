"""The HTTP protocol with bounds that uvicorn's has not: on what is no body, and on how long a connection stands still.

A body is bounded by `Intake`, in bytes and by its deadline; what is sent ahead by `PipelinedHttpProtocol`; an idle
connection that had an answer by uvicorn. What is left: a connection that never sends a whole head, and one that never
takes its answer. Each keeps a socket, the second also the answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.pipelined import PipelinedHttpProtocol

MAX_FRAMING_BYTES = 64 * 2**10
"""Of a head; and of what stands around the pieces of a body, or behind it, of which nobody keeps count either."""

FRAMING_PER_BYTE = 9
"""A body in pieces of a byte each has less."""


class GuardedHttpProtocol(PipelinedHttpProtocol):
    """Looks every `timeout_seconds` and closes what stands still since the look before: the same head (there is a new
    list of headers for each), as many bytes unsent. One timer for each connection rather than each request.

    `refused` is told the status of each refusal.
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
