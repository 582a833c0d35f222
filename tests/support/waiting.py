"""Waiting in a coroutine, for what other tasks and threads do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Look every few milliseconds; fails after the time limit, which is a machine's on its worst day."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
