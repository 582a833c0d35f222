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
from harmgauge.drift.columns.view import View as ColumnsView
from harmgauge.drift.sources.sources import Sources
from harmgauge.drift.sources.view import View as SourcesView
from harmgauge.drift.state import Blocks, DriftDetector, DriftState
from harmgauge.drift.window import Held

log = logging.getLogger(__name__)

ACCURACY = "accuracy"
"""Name of the accuracy window in saved states, beside the detectors' names."""

SOURCES = "sources"
"""Name of the sources there."""

COLUMNS = "columns"
"""Name of the columns there."""

D = TypeVar("D", bound=DriftDetector)


class Monitor:
    """All drift detectors of one bundle.

    Each function in `pull` passes the scores that it has buffered to `observe`. They are called before every look, so a
    state includes every answer given. `accuracy` is the window of a bundle with P(wrong), `sources` are those that are
    monitored separately, and `columns` monitors those of a bundle with sketches of them: no detectors, but fed, saved
    and reset together with them.
    """

    def __init__(
        self,
        detectors: Sequence[DriftDetector],
        pull: Sequence[Callable[[], None]] = (),
        accuracy: AccuracyWindow | None = None,
        sources: Sources | None = None,
        columns: Columns | None = None,
    ) -> None:
        self._detectors = detectors
        self._pull = pull
        self._accuracy = accuracy
        self._sources = sources
        self._columns = columns
        # All parts that are fed, saved and reset, by name.
        self._parts: dict[str, DriftDetector | AccuracyWindow | Sources | Columns] = {
            each.name: each for each in detectors
        }
        more = {ACCURACY: accuracy, SOURCES: sources, COLUMNS: columns}
        self._parts |= {name: part for name, part in more.items() if part is not None}

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
        for part in self._parts.values():
            part.observe(blocks)

    def catch_up(self) -> None:
        """Count all buffered scores."""
        for pull in self._pull:
            pull()

    def reset(self) -> None:
        """Acknowledge every alarm, and every source: resets all detectors and empties the accuracy window."""
        self.catch_up()
        for part in self._parts.values():
            part.reset()
        log.info("the drift detectors were reset")

    def acknowledge(self, source: str, *, forget_baseline: bool = False) -> bool:
        """Acknowledge one source, as `Sources.acknowledge` does; returns whether it is monitored."""
        self.catch_up()
        if self._sources is None or not self._sources.acknowledge(source, forget_baseline=forget_baseline):
            return False
        log.info("the source %r was acknowledged%s", source, " and its baseline forgotten" if forget_baseline else "")
        return True

    def sources(self) -> SourcesView | None:
        """All sources, brought up to date; None if they are turned off."""
        self.catch_up()
        return None if self._sources is None else self._sources.view()

    def columns(self) -> ColumnsView | None:
        """All columns, brought up to date; None if the bundle has no sketches of them."""
        self.catch_up()
        return None if self._columns is None else self._columns.view()

    def dump(self) -> tuple[tuple[int, ...], dict[str, npt.NDArray[Any] | Held]]:
        """The versions and the state of all parts, by name and key; in constant time, however large the windows are."""
        self.catch_up()
        versions = tuple(part.version for part in self._parts.values())
        arrays = {f"{name}/{key}": array for name, part in self._parts.items() for key, array in part.dump().items()}
        return versions, arrays

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        """Resume from the result of `dump`; a part that is missing from it starts afresh.

        If anything is invalid, all parts start afresh. Raises ValueError then, with the name of the part that rejected
        it.
        """
        for name, part in self._parts.items():
            prefix = f"{name}/"
            own = {key.removeprefix(prefix): array for key, array in dumped.items() if key.startswith(prefix)}
            if not own:
                continue
            try:
                part.restore(own)
            except Exception as error:
                for each in self._parts.values():
                    each.reset()
                raise ValueError(f"{name}: {error}") from error

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
