"""Detects inference that no longer works and loads that hang, so that the service is restarted.

A hanging run of the graph can be stopped only by ending its process, and so can a load. If a graph raises, its input
may be to blame: the graph is broken if it also fails on the probe, on which it ran at start-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from harmgauge.errors import InferenceFailed, RequestError
from harmgauge.inference.caller import RequestContext
from harmgauge.readiness import Readiness
from harmgauge.rollout.served import ServedBundle

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Watchdog:
    """Checks the bundle in service, `current`, and loads that hang, and records the findings in `readiness`."""

    def __init__(
        self,
        current: Callable[[], ServedBundle],
        readiness: Readiness,
        timeout_seconds: float,
        hanging: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._current = current
        self._hanging = hanging
        self._readiness = readiness
        self._timeout_seconds = timeout_seconds
        self._broken = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start checking, on the running event loop."""
        self._task = asyncio.create_task(self._keep_watching())

    def stop(self) -> None:
        """Stop checking. Call this before inference is closed: otherwise workers that end on purpose count as lost."""
        if self._task is not None:
            self._task.cancel()

    async def look(self) -> None:
        """Check now; waits at most `LOOK_SECONDS` for the probe, if one is needed."""
        serving = self._current()
        batcher = serving.components.batcher
        broken = (self._broken or batcher.failed) and await self._probe_fails(serving)
        if serving is not self._current():  # another bundle took over in the meantime: the next check covers it
            return
        self._broken = broken
        lost = batcher.lost_workers(self._timeout_seconds)
        if self._broken:
            failure: str | None = "broken: the graph fails on every input"
        elif lost:
            failure = (
                f"short of {lost} of its {batcher.workers} workers: each has ended, or hung in one run of the graph "
                f"for more than {self._timeout_seconds:g} s (HARMGAUGE_INFERENCE_TIMEOUT_SECONDS)"
            )
        elif (hanging := self._hanging()) is not None:
            failure = f"stuck: {hanging} does not finish (requests are still answered)"
        else:
            failure = None
        if failure != self._readiness.failure:
            if failure is None:
                log.warning("the service works again")
            else:
                log.error("the service is %s; /livez fails, so that it is restarted", failure)
        self._readiness.works(failure, takes_work=not self._broken and lost < batcher.workers)

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception:  # the next check may succeed
                log.exception("inference could not be checked")

    async def _probe_fails(self, serving: ServedBundle) -> bool:
        components, deadline = serving.components, asyncio.get_running_loop().time() + LOOK_SECONDS
        try:
            await components.batcher.submit(components.runtime.probe(1), RequestContext(deadline)).answered
        except InferenceFailed:
            return True
        except RequestError:  # the queue is full, or too long: this shows nothing new
            return self._broken
        return False
