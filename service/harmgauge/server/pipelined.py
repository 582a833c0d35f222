"""Limits pipelined requests: few are accepted before the client has taken the response to the one ahead of them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

from harmgauge.server.prompt import PromptHttpProtocol

MAX_WAITING_REQUESTS = 128
"""Limit per connection; clients that pipeline send a few dozen at most."""

_REQUEST_BYTES = 2 * 2**10
"""Estimated memory of a request's objects."""


class _Flow(FlowControl):
    """Resumes reading only while little data is waiting: the rest stays with the client."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def waiting_bytes(self) -> int:
        return sum(cycle.head_bytes + len(cycle.body) for cycle, _ in self._waiting)

    def resume_reading(self) -> None:
        if not self._waiting or self.waiting_bytes() <= HIGH_WATER_LIMIT:
            super().resume_reading()


class PipelinedHttpProtocol(PromptHttpProtocol):
    """Bounds data sent ahead, and starts a request only after the response to the one ahead of it was taken.

    Uvicorn keeps the requests in an unbounded list, and resumes reading with every response, and with every check that
    a client is still connected. One connection could fill the memory with requests, or with a body, before its key is
    checked; and with responses, if it took none.
    """

    flow: _Flow

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's is wider
        super().connection_made(transport)
        self.flow = _Flow(self.transport, self.pipeline)
        # the request being answered, or the last answered one; `cycle` is the last received
        self._worked_on: Any = None
        self.idle_since = math.inf
        """When the last response was complete, by the event loop's clock; infinite before the first."""
        self._held_back: Any = None  # the next one and its application, while the client takes the answer before it

    def connection_lost(self, exc: Exception | None) -> None:
        worked_on = self._worked_on
        if worked_on is not None and not worked_on.response_complete:
            worked_on.disconnected = True
            worked_on.message_event.set()
        super().connection_lost(exc)
        self.pipeline.clear()  # their answers are no longer needed, and each refers to this connection
        self._held_back = None

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cycle: Any = self.cycle
        if not self.pipeline:
            self._worked_on = cycle
            return
        cycle.head_bytes = _REQUEST_BYTES + sum(len(name) + len(value) for name, value in self.headers)
        if len(self.pipeline) > MAX_WAITING_REQUESTS:
            raise ValueError("too many pipelined requests")  # stops the parser, which has the rest of the data

    def on_response_complete(self) -> None:
        """Replaces uvicorn's own method, which would set a timer here, for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._worked_on, app = self.pipeline.pop()
            self._start_asgi_task(self._worked_on, app)
        else:
            self.idle_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._held_back is not None:
            (cycle, app), self._held_back = self._held_back, None
            self._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - uvicorn's own
        if self.flow.write_paused:
            self._held_back = cycle, app
        else:
            super()._start_asgi_task(cycle, app)
