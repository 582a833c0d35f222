"""The drift monitor: hands every score to its detectors, and reports their states."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.accuracy_window import AccuracyWindow
from harmgauge.drift.state import Blocks, DriftDetector, DriftState
from harmgauge.drift.window import Held

log = logging.getLogger(__name__)

ACCURACY = "accuracy"
"""Name of the window of accuracy beside those of the detectors."""

D = TypeVar("D", bound=DriftDetector)


class Monitor:
    """All drift detectors of one bundle.

    Each of `pull` hands to `observe` the scores that it still keeps back. They are called before every look, so every
    answer given is included in a state. `accuracy` is the window of a bundle with P(wrong): not a detector, but fed,
    saved and emptied with them.
    """

    def __init__(
        self,
        detectors: Sequence[DriftDetector],
        pull: Sequence[Callable[[], None]] = (),
        accuracy: AccuracyWindow | None = None,
    ) -> None:
        self._detectors = detectors
        self._pull = pull
        self._accuracy = accuracy

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the detectors."""
        return tuple(detector.name for detector in self._detectors)

    @property
    def gauges(self) -> dict[str, str]:
        """The detectors' own metrics by name, with their help texts."""
        return {name: text for detector in self._detectors for name, text in detector.gauges.items()}

    def find(self, kind: type[D]) -> D | None:
        """The detector of this class, up to date; None if there is none."""
        self.catch_up()
        return next((detector for detector in self._detectors if isinstance(detector, kind)), None)

    def observe(self, blocks: Blocks) -> None:
        for detector in self._detectors:
            detector.observe(blocks)
        if self._accuracy is not None:
            self._accuracy.observe(blocks)

    def catch_up(self) -> None:
        """Count all scores that are kept back."""
        for pull in self._pull:
            pull()

    def reset(self) -> None:
        """Acknowledge every alarm: all detectors begin anew, and the window of accuracy is empty."""
        self.catch_up()
        for part in self._parts().values():
            part.reset()
        log.info("the drift detectors were reset")

    def dump(self) -> tuple[tuple[int, ...], dict[str, npt.NDArray[Any] | Held]]:
        """The versions and the state of all parts, by name and key: in constant time, however large a window is."""
        self.catch_up()
        parts = self._parts()
        versions = tuple(part.version for part in parts.values())
        arrays = {f"{name}/{key}": array for name, part in parts.items() for key, array in part.dump().items()}
        return versions, arrays

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        """Continue from the result of `dump`; a part that it lacks begins anew.

        If anything does not fit, all parts begin anew. Raises ValueError then, with the name of the one that found it.
        """
        parts = self._parts()
        for name, part in parts.items():
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): array for key, array in dumped.items() if key.startswith(prefix)}
            if not own:
                continue
            try:
                part.restore(own)
            except Exception as error:
                for each in parts.values():
                    each.reset()
                raise ValueError(f"{name}: {error}") from error

    def _parts(self) -> dict[str, DriftDetector | AccuracyWindow]:
        """All parts that are saved and reset, by name."""
        parts: dict[str, DriftDetector | AccuracyWindow] = {detector.name: detector for detector in self._detectors}
        if self._accuracy is not None:
            parts[ACCURACY] = self._accuracy
        return parts

    async def states(self) -> dict[str, DriftState]:
        """By detector name, each brought up to date."""
        self.catch_up()
        return {detector.name: await detector.state() for detector in self._detectors}

    async def accuracy(self) -> Accuracy | None:
        """Accuracy over the window, brought up to date; None if the bundle has no P(wrong)."""
        self.catch_up()
        return None if self._accuracy is None else await self._accuracy.state()

    async def keep_up(self, interval_seconds: float) -> None:
        """Keep the states up to date for ever, so that a change is noticed (and logged) without a request for it."""
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await self.states()
            except Exception:  # the next round may succeed; the alarm must survive this one
                log.exception("the drift state could not be computed")
