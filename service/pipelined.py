"""Uvicorn's HTTP protocol with bounds on what is sent ahead: requests that come while one before them is answered.

It keeps them in a list without end, and every answer, and every look whether a client is still there, reads on. So one
connection could fill the memory with requests, or with a body, of which nobody has seen even the key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl

from service.upgrade import OfferIgnoringHttpProtocol

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
