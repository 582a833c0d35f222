"""Waits in a coroutine for other tasks and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Poll every few milliseconds; fails after the time limit, which is generous for a busy machine."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
