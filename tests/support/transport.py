"""A transport without a socket."""

from __future__ import annotations

import asyncio
from typing import Any


class Transport(asyncio.Transport):
    """Records its calls."""

    def __init__(self) -> None:
        super().__init__()
        self._reads, self.closed, self.written = True, False, b""

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


async def rounds(count: int = 20) -> None:
    """Let the event loop turn this often."""
    for _ in range(count):
        await asyncio.sleep(0)
