"""A transport with one write per response, although uvicorn writes its head and its body one after the other."""

from __future__ import annotations

import asyncio
from typing import Any

MAX_COPIED_BYTES = 64 * 2**10
"""Above this size a copy takes longer than a second write."""


class CorkedTransport:
    """Holds written data until the event loop's next round. Otherwise it behaves like the transport."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing  # asked several times for each request
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
        if not kept or self._transport.is_closing():  # the client may have left since
            return
        if len(kept) > 1 and sum(map(len, kept)) <= MAX_COPIED_BYTES:
            kept = [b"".join(kept)]
        for data in kept:
            self._transport.write(data)
