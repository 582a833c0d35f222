"""The drift monitor: hands every score to its detectors, and their states to whoever looks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from harmgauge.drift.state import Blocks, DriftDetector, DriftState

log = logging.getLogger(__name__)


class Monitor:
    """All drift detectors of one bundle."""

    def __init__(self, detectors: Sequence[DriftDetector]) -> None:
        self._detectors = detectors
        self.before_look: Callable[[], None] = lambda: None
        """Called before the states are brought up to date: whoever keeps scores back hands them over then."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the detectors."""
        return tuple(detector.name for detector in self._detectors)

    def observe(self, blocks: Blocks) -> None:
        for detector in self._detectors:
            detector.observe(blocks)

    def reset(self) -> None:
        """Acknowledge every alarm: all detectors begin anew."""
        self.before_look()
        for detector in self._detectors:
            detector.reset()
        log.info("the drift detectors were reset")

    def dump(self) -> tuple[tuple[int, ...], dict[str, npt.NDArray[Any]]]:
        """The versions of all detectors, and what they know, by name and key."""
        self.before_look()
        versions = tuple(detector.version for detector in self._detectors)
        arrays = {
            f"{detector.name}/{key}": array for detector in self._detectors for key, array in detector.dump().items()
        }
        return versions, arrays

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from what `dump` gave; a detector that was not there then begins anew.

        Raises ValueError or KeyError where it does not fit.
        """
        for detector in self._detectors:
            prefix = f"{detector.name}/"
            own = {key.removeprefix(prefix): array for key, array in dumped.items() if key.startswith(prefix)}
            if own:
                detector.restore(own)

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
