"""The drift monitor: passes every score to its detectors, and reports their states."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.accuracy_window import AccuracyWindow
from harmgauge.drift.columns.columns import Columns
from harmgauge.drift.columns.view import View
from harmgauge.drift.state import Blocks, DriftDetector, DriftState
from harmgauge.drift.window import Held

log = logging.getLogger(__name__)

ACCURACY = "accuracy"
"""Name of the accuracy window in saved states, beside the detectors' names."""

COLUMNS = "columns"
"""Name of the columns there."""

D = TypeVar("D", bound=DriftDetector)


class Monitor:
    """All drift detectors of one bundle.

    Each function in `pull` passes the scores that it has buffered to `observe`. They are called before every look, so a
    state includes every answer given. `accuracy` is the window of a bundle with P(wrong), and `columns` monitors those
    of a bundle with sketches of them: no detectors, but fed, saved and reset together with them.
    """

    def __init__(
        self,
        detectors: Sequence[DriftDetector],
        pull: Sequence[Callable[[], None]] = (),
        accuracy: AccuracyWindow | None = None,
        columns: Columns | None = None,
    ) -> None:
        self._detectors = detectors
        self._pull = pull
        self._accuracy = accuracy
        self._columns = columns

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the detectors."""
        return tuple(detector.name for detector in self._detectors)

    @property
    def gauges(self) -> dict[str, str]:
        """The detectors' own metrics, by name, with their help texts."""
        return {name: text for detector in self._detectors for name, text in detector.gauges.items()}

    def find(self, kind: type[D]) -> D | None:
        """The detector of this class, brought up to date; None if there is none."""
        self.catch_up()
        return next((detector for detector in self._detectors if isinstance(detector, kind)), None)

    def observe(self, blocks: Blocks) -> None:
        for detector in self._detectors:
            detector.observe(blocks)
        if self._accuracy is not None:
            self._accuracy.observe(blocks)
        if self._columns is not None:
            self._columns.observe(blocks)

    def catch_up(self) -> None:
        """Count all buffered scores."""
        for pull in self._pull:
            pull()

    def reset(self) -> None:
        """Acknowledge every alarm: resets all detectors and empties the accuracy window."""
        self.catch_up()
        for part in self._parts().values():
            part.reset()
        log.info("the drift detectors were reset")

    def columns(self) -> View | None:
        """All columns, brought up to date; None if the bundle has no sketches of them."""
        self.catch_up()
        return None if self._columns is None else self._columns.view()

    def dump(self) -> tuple[tuple[int, ...], dict[str, npt.NDArray[Any] | Held]]:
        """The versions and the state of all parts, by name and key; in constant time, however large the windows are."""
        self.catch_up()
        parts = self._parts()
        versions = tuple(part.version for part in parts.values())
        arrays = {f"{name}/{key}": array for name, part in parts.items() for key, array in part.dump().items()}
        return versions, arrays

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        """Resume from the result of `dump`; a part that is missing from it starts afresh.

        If anything is invalid, all parts start afresh. Raises ValueError then, with the name of the part that rejected
        it.
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

    def _parts(self) -> dict[str, DriftDetector | AccuracyWindow | Columns]:
        """All parts that are saved and reset, by name."""
        parts: dict[str, DriftDetector | AccuracyWindow | Columns] = {each.name: each for each in self._detectors}
        if self._accuracy is not None:
            parts[ACCURACY] = self._accuracy
        if self._columns is not None:
            parts[COLUMNS] = self._columns
        return parts

    async def states(self) -> dict[str, DriftState]:
        """The states by detector name, all brought up to date."""
        self.catch_up()
        return {detector.name: await detector.state() for detector in self._detectors}

    async def accuracy(self) -> Accuracy | None:
        """Accuracy over the window, brought up to date; None if the bundle has no P(wrong)."""
        self.catch_up()
        return None if self._accuracy is None else await self._accuracy.state()

    async def keep_up(self, interval_seconds: float) -> None:
        """Update the states until cancelled, so that a change is noticed (and logged) without a request for it."""
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await self.states()
            except Exception:  # the next round may succeed; the alarm must survive this one
                log.exception("the drift state could not be computed")
