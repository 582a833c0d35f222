"""The drift monitor: hands every score to its detectors, and their states to whoever looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from service.drift.state import Blocks, DriftDetector, DriftState

log = logging.getLogger(__name__)


class Monitor:
    """All drift detectors of one bundle."""

    def __init__(self, detectors: Sequence[DriftDetector]) -> None:
        self._detectors = detectors
        self.before_look: Callable[[], None] = lambda: None
        """Called before the states are brought up to date: whoever keeps scores back hands them over then."""

    def observe(self, blocks: Blocks) -> None:
        for detector in self._detectors:
            detector.observe(blocks)

    def reset(self) -> None:
        """Acknowledge every alarm: all detectors begin anew."""
        self.before_look()
        for detector in self._detectors:
            detector.reset()
        log.info("the drift detectors were reset")

    async def states(self) -> dict[str, DriftState]:
        """By detector name, each brought up to date."""
        self.before_look()
        return {detector.name: await detector.state() for detector in self._detectors}

    async def keep_up(self, interval_seconds: float) -> None:
        """Bring the states up to date for ever, so that a change is noticed (and logged) while nobody looks."""
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await self.states()
            except Exception:  # the next round may do better; the alarm must not end with this one
                log.exception("the drift state could not be computed")
