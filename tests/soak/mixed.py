"""Slower traffic of every other kind, valid and invalid: each kind is repeated at random intervals."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.soak.asking import ask, message
from tests.soak.calls import Calls
from tests.soak.ledger import Ledger
from tests.soak.rows import Rows
from tests.soak.rude import Rude

LOOKS = (
    "/metrics",
    "/drift",
    "/drift?scores=true",
    "/info",
    "/page/about",
    "/page/info",
    "/page/state",
    "/page/history",
    "/page/embedding",
    "/",
    "/docs",
    "/openapi.json",
    "/livez",
    "/readyz",
    "/v2",
    "/v2/models/toy",
)


class Mixed:
    """Runs all kinds until stopped; none while `paused`. `others` are keys, as in `Visitor`."""

    def __init__(self, port: int, grpc_port: int, key: str, others: dict[str, str]) -> None:
        self.ledger = Ledger()
        self.paused = False
        self._random = random.Random(2)
        self._rows = Rows(port, key, others, self.ledger)
        self._rude = Rude(port, key, others, self.ledger)
        self._calls = Calls(grpc_port, key, self.ledger)
        self._stopping = asyncio.Event()
        rows, rude = self._rows, self._rude
        visits: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.1, rows.rows),
            (0.1, rows.rows_as_json),
            (0.1, rows.rows_as_npy),
            (0.1, rows.rows_by_v2),
            (0.2, rows.impatient),
            (20.0, rows.greedy),
            (0.3, rude.spoilt),
            (0.5, rude.stranger),
            (0.2, rude.leaver),
            (0.3, rude.tearer),
            (2.0, rude.babbler),
            (5.0, rude.slow_body),
            (5.0, rude.slow_head),
            (5.0, rude.giant),
            (20.0, rude.idler),
            (1.0, self._look),
            (0.02, self._calls.infer),
        ]
        self._tasks = [asyncio.create_task(self._again(*visit)) for visit in visits]

    def use_key(self, key: str) -> None:
        self._rows.key = self._rude.key = key
        self._calls.use_key(key)

    async def stop(self) -> None:
        """Let each visit finish."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._calls.close()

    async def _again(self, mean_pause_seconds: float, visit: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping.is_set():
            if not self.paused:
                try:
                    await visit()
                except Exception as error:
                    self.ledger.accuse(f"{getattr(visit, '__name__', visit)}: {error!r}")
            pause_seconds = self._random.expovariate(1 / mean_pause_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_seconds)

    async def _look(self) -> None:
        path = self._random.choice(LOOKS)
        answer = await ask(
            self._rude.port, message(path, b"", "GET", **self._rude.bearer(self._rude.others["metrics"]))
        )
        allowed = {200, 403} if path.startswith("/v2") else {200}
        if answer.status not in allowed:
            self.ledger.accuse(f"{path}: {answer}")
        if answer.status != 200:
            self.ledger.codes[answer.document["code"]] += 1
