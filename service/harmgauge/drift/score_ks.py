"""`score_ks`: the two-sample Kolmogorov-Smirnov test of a sliding window.

Scores are added on the event loop, at the cost of a copy; statistics are computed on a worker thread, on request and
otherwise at a bounded rate, never once per scoring request.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.drift import dumped as read
from harmgauge.drift import ks
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.state import Blocks, DriftState, State
from harmgauge.drift.window import AgedWindow, Held, Window, newest
from harmgauge.errors import BundleError, SettingsError
from harmgauge.settings import Settings

log = logging.getLogger(__name__)

LEAST_AGED_ROWS = 100
"""Scores that an age-limited window must hold before it reports a result."""


def from_bundle(bundle: Bundle, settings: Settings) -> ScoreKs:
    """The KS monitor as specified by the bundle, unless the settings override it.

    Raises BundleError or SettingsError.
    """
    drift = bundle.manifest.drift
    _check_calibration(bundle)
    try:
        return ScoreKs(
            bundle.reference.scores,
            settings.window_rows or drift.window_rows,
            settings.rows_between_false_alarms or drift.rows_between_false_alarms,
            max_age_seconds=settings.window_seconds,
        )
    except ValueError as error:
        raise SettingsError(
            f"HARMGAUGE_WINDOW_ROWS and HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS do not fit together: {error}"
        ) from error


def _check_calibration(bundle: Bundle) -> None:
    """Raises BundleError if the bundle's alarm thresholds do not match its own drift settings.

    The threshold of the statistic depends on the float32 graph's reference.
    """
    drift, rows = bundle.manifest.drift, len(bundle.reference.scores)
    try:
        p_value = ks.p_value_threshold(drift.window_rows, drift.rows_between_false_alarms)
    except ValueError as error:
        raise BundleError(f"{bundle.path}: drift: {error}") from error
    statistic = ks.statistic_threshold(drift.window_rows, rows, p_value)
    given = (drift.p_value_threshold, drift.statistic_threshold)
    off = bundle.precision == "float32" and abs(given[1] - statistic) > 1 / rows
    if off or not math.isclose(given[0], p_value, rel_tol=1e-6):
        raise BundleError(
            f"{bundle.path}: drift: the thresholds are p <= {given[0]:g} and D >= {given[1]:g}, but window_rows and "
            f"rows_between_false_alarms give {p_value:g} and {statistic:g}: build the bundle again"
        )


class ScoreKs:
    """Two-sample KS test of the last `window_rows` scores against the reference.

    With `max_age_seconds`, older scores expire as well; the test then reports from LEAST_AGED_ROWS scores on (or from
    `window_rows`, if those are fewer), with the thresholds for the number of scores that the window holds. Raises
    ValueError if no alarm is possible with these settings. `now` returns the time for `since`, `clock` seconds for the
    ages.
    """

    name = "score_ks"
    gauges: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        reference: npt.NDArray[np.float64],
        window_rows: int,
        rows_between_false_alarms: int,
        *,
        max_age_seconds: float | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reference = reference
        self._max_age_seconds = max_age_seconds
        self._now = now
        self._clock = clock
        self._window = self._empty(window_rows)
        self._rows_between_false_alarms = rows_between_false_alarms
        self._p_value_threshold = ks.p_value_threshold(window_rows, rows_between_false_alarms)
        self._threshold = ks.statistic_threshold(window_rows, len(reference), self._p_value_threshold)
        if self._threshold > 1:
            raise ValueError(
                f"a window of {window_rows} rows can never reach p <= {self._p_value_threshold:.2g}: "
                f"set a larger window, or fewer than {rows_between_false_alarms} rows between false alarms"
            )
        self._resets = 0
        self._computed = (0, 0)
        self._state = self._describe(0, self._window.snapshot(), None, None)
        self._one_at_a_time = asyncio.Lock()

    def observe(self, blocks: Blocks) -> None:
        if isinstance(self._window, AgedWindow) and blocks.times is not None:
            self._window.extend(blocks.scores, self._clock() - np.repeat(blocks.times, blocks.rows))
        else:
            self._window.extend(blocks.scores)

    @property
    def version(self) -> int:
        return self._window.total + self._resets

    def dump(self) -> dict[str, npt.NDArray[Any] | Held]:
        if not isinstance(self._window, AgedWindow):
            return {"scores": self._window.held()}
        scores, times = self._window.held_with_times(self._now().timestamp())
        return {"scores": scores, "times": times}

    def restore(self, dumped: Dumped) -> None:
        scores = read.rows(dumped, "scores", np.float64, ())
        ages = read.ages(dumped, scores.shape, self._now().timestamp())
        if isinstance(self._window, AgedWindow):
            self._window.extend(scores, ages)
        else:
            self._window.extend(scores)

    def reset(self) -> None:
        """Empty the window."""
        self._resets += self._window.total + 1
        self._window = self._empty(self._window.capacity)
        self._computed = (0, 0)
        self._state = self._describe(0, self._window.snapshot(), None, None)

    def _empty(self, window_rows: int) -> Window:
        return newest(window_rows, self._max_age_seconds, self._clock)

    async def state(self) -> DriftState:
        """The current state of the window."""
        async with self._one_at_a_time:
            if self._computed == (self._window.total, self._window.rows):
                return self._state
            resets, total, held = self._resets, self._window.total, self._window.held()
            scores, result = await asyncio.to_thread(self._tested, held)
            if resets != self._resets:  # reset in the meantime: these scores are gone
                return self._state
            before = self._state
            self._state = self._describe(total, scores, result, before)
            self._computed = total, len(scores)
            if before.state != self._state.state:
                self._log_change(self._state)
            return self._state

    def _tested(self, held: Held) -> tuple[npt.NDArray[np.float64], ks.KsResult | None]:
        """The scores, and their test result if there are enough."""
        scores = held.joined()
        return scores, ks.two_sample(scores, self._reference) if len(scores) >= self._least_rows() else None

    def _least_rows(self) -> int:
        """Minimum number of scores in the window for a result."""
        capacity = self._window.capacity
        return capacity if self._max_age_seconds is None else min(capacity, LEAST_AGED_ROWS)

    def _thresholds(self, rows: int) -> tuple[float, float]:
        """Thresholds of the p-value and the statistic for a window with this many rows."""
        if rows == self._window.capacity or rows < self._least_rows():
            return self._p_value_threshold, self._threshold
        p_value = ks.p_value_threshold(rows, self._rows_between_false_alarms)
        return p_value, ks.approximate_statistic_threshold(rows, len(self._reference), p_value)

    def _describe(
        self, total: int, scores: npt.NDArray[np.float64], result: ks.KsResult | None, before: DriftState | None
    ) -> DriftState:
        p_value_threshold, threshold = self._thresholds(len(scores))
        state: State = "warming"
        if result is not None:
            state = "drifting" if result.p_value <= p_value_threshold else "ok"
        return DriftState(
            state=state,
            p_value=None if result is None else result.p_value,
            statistic=None if result is None else result.statistic,
            threshold=threshold,
            window_rows=self._window.capacity,
            rows=len(scores),
            reference_rows=len(self._reference),
            rows_between_false_alarms=self._rows_between_false_alarms,
            since=before.since if before and before.state == state else self._now(),
            total_rows=total,
            scores=scores,
            log10_p_value=None if result is None else result.log10_p_value,
            p_value_threshold=p_value_threshold,
        )

    def _log_change(self, state: DriftState) -> None:
        level = logging.WARNING if state.state == "drifting" else logging.INFO
        log.log(level, "%s is %s: p = %s, D = %s", self.name, state.state, state.p_value, state.statistic)
