"""Estimates the accuracy of the newest rows from P(wrong).

P and predicted classes are added on the event loop, at the cost of a copy; the estimate is computed on a worker thread
on request, and cached until a row is added or expires.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.drift import accuracy
from harmgauge.drift import dumped as read
from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.state import Blocks
from harmgauge.drift.window import AgedWindow, Held, Window, newest
from harmgauge.settings import Settings

MAX_CLASSES = 100
"""A classifier with more classes has no accuracy by class, because every class is a time series of every replica."""


def from_bundle(bundle: Bundle, settings: Settings) -> AccuracyWindow | None:
    """None if the bundle has no P(wrong)."""
    found = bundle.error_probability
    if found is None:
        return None
    return AccuracyWindow(
        1 - found.base,
        found.kappa,
        settings.window_rows or bundle.manifest.drift.window_rows,
        bundle.manifest.class_names,
        max_age_seconds=settings.window_seconds,
    )


class AccuracyWindow:
    """P and predicted class of the last `window_rows` rows; with `max_age_seconds`, older rows expire as well.

    `base` is the accuracy on clean traffic, `kappa` the share of a drop that the estimate misses. `now` returns the
    time of day, `clock` seconds for the ages.
    """

    def __init__(
        self,
        base: float,
        kappa: float,
        window_rows: int,
        class_names: tuple[str, ...],
        *,
        max_age_seconds: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base = base
        self._kappa = kappa
        self._window_rows = window_rows
        self._class_names = class_names if len(class_names) <= MAX_CLASSES else ()
        self._max_age_seconds = max_age_seconds
        self._now = now
        self._clock = clock
        self._resets = 0
        self._one_at_a_time = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        self._chances = newest(self._window_rows, self._max_age_seconds, self._clock, np.float32)
        # The classes of the same rows: rows that have expired from the one window are removed from the other at the
        # next look.
        self._classes = Window(self._window_rows, dtype=np.uint8) if self._class_names else None
        self._computed = (0, 0)
        self._found = self._estimated(np.empty(0, np.float32), None)

    def reset(self) -> None:
        """Empty the window, as `score_ks` does: rows from before a repair do not show the current accuracy."""
        self._resets += self._chances.total + 1
        self._begin()

    @property
    def version(self) -> int:
        """Changes with every row and every reset."""
        return self._resets + self._chances.total

    def observe(self, blocks: Blocks) -> None:
        """Add rows; those without P are not counted."""
        if blocks.error_probability is None or blocks.predictions is None:
            return
        ages = None
        if isinstance(self._chances, AgedWindow) and blocks.times is not None:
            ages = self._clock() - np.repeat(blocks.times, blocks.rows)
        self._extend(blocks.error_probability, blocks.predictions, ages)

    def _extend(
        self,
        chances: npt.NDArray[np.float32],
        classes: npt.NDArray[np.integer] | None,
        ages: npt.NDArray[np.float64] | None,
    ) -> None:
        if isinstance(self._chances, AgedWindow):
            self._chances.extend(chances, ages)
        else:
            self._chances.extend(chances)
        if self._classes is not None and classes is not None:
            self._classes.extend(classes)

    def _classes_of(self, chances: Held) -> Held | None:
        """The classes of all rows that the window of P now holds."""
        if self._classes is None:
            return None
        self._classes.drop(self._classes.rows - len(chances))
        return self._classes.held()

    async def state(self) -> Accuracy:
        """The current accuracy of the window."""
        async with self._one_at_a_time:
            if self._computed == (self._chances.total, self._chances.rows):
                return self._found
            resets, total = self._resets, self._chances.total
            chances = self._chances.held()
            classes = self._classes_of(chances)
            found = await asyncio.to_thread(self._joined_and_estimated, chances, classes)
            if resets == self._resets:  # otherwise these rows are gone by now
                self._found, self._computed = found, (total, found.rows)
            return self._found

    def _joined_and_estimated(self, chances: Held, classes: Held | None) -> Accuracy:
        return self._estimated(chances.joined(), None if classes is None else classes.joined())

    def _estimated(self, chances: npt.NDArray[np.floating], classes: npt.NDArray[np.integer] | None) -> Accuracy:
        rows, lower, upper = len(chances), None, None
        if rows >= min(accuracy.LEAST_ROWS, self._window_rows):
            lower, upper = accuracy.interval(chances, self._base, self._kappa)
        return Accuracy(
            estimate=accuracy.estimate(chances) if rows else None,
            lower=lower,
            upper=upper,
            base=self._base,
            kappa=self._kappa,
            rows=rows,
            window_rows=self._window_rows,
            classes=() if classes is None else accuracy.by_class(chances, classes, self._class_names),
        )

    def dump(self) -> dict[str, npt.NDArray[Any] | Held]:
        """The whole state; windows are returned by reference, to be copied on a thread."""
        found: dict[str, npt.NDArray[Any] | Held] = {}
        if isinstance(self._chances, AgedWindow):
            chances, found["times"] = self._chances.held_with_times(self._now().timestamp())
        else:
            chances = self._chances.held()
        classes = self._classes_of(chances)
        if classes is not None:
            found["classes"] = classes
        return found | {"chances": chances}

    def restore(self, dumped: Dumped) -> None:
        """Resume from a dump. Raises ValueError, and changes nothing, if it is not valid."""
        chances = read.rows(dumped, "chances", np.float32, ())
        if not ((chances >= 0) & (chances <= 1)).all():
            raise ValueError("chances contains numbers that are not probabilities")
        classes = None
        if self._classes is not None:
            classes = read.rows(dumped, "classes", np.uint8, ())
            if classes.shape != chances.shape or not (classes < len(self._class_names)).all():
                raise ValueError(
                    f"classes is invalid, expected one of {len(self._class_names)} classes for each of the chances"
                )
        self._extend(chances, classes, read.ages(dumped, chances.shape, self._now().timestamp()))
