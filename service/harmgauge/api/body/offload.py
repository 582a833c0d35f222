"""Where bodies are read: small ones at once, all others on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREAD_BODY_BYTES = 256 * 2**10
"""Bodies above this are read on a thread: the loop must not stand still for milliseconds."""

THREADS = 2
"""A large JSON body takes a multiple of its size while it is read, so only so many are read at a time."""


class Reading:
    """Runs the functions that turn bodies into arrays."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "read")

    async def read(self, large: bool, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `function` gives; `large` says that it may take long."""
        if not large:
            return function(*arguments, **named)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*arguments, **named))
