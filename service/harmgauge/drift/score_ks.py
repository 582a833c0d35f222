"""`score_ks`: the two-sample Kolmogorov-Smirnov test of a sliding window.

Scores go in on the event loop, at the cost of a copy; statistics are computed on a worker thread, when somebody looks
and at a bounded rate in between, never per request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.drift import ks
from harmgauge.drift.state import Blocks, DriftState, State
from harmgauge.drift.window import AgedWindow, Window

log = logging.getLogger(__name__)

LEAST_AGED_ROWS = 100
"""Scores that a window by age must hold before anything is claimed of it."""


class ScoreKs:
    """Two-sample KS test of the last `window_rows` scores against the reference.

    With `max_age_seconds`, scores also leave the window when they are older; it tells from LEAST_AGED_ROWS on (or all
    of fewer `window_rows`), and its alarm is that of a window of as many rows as it holds.
    Raises ValueError where the settings cannot give an alarm. `now` gives the time for `since`, `clock` seconds for
    the ages.
    """

    name = "score_ks"

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
                f"take a larger window, or fewer than {rows_between_false_alarms} rows between false alarms"
            )
        self._resets = 0
        self._computed = (0, 0)
        self._state = self._describe(0, self._window.snapshot(), None, None)
        self._one_at_a_time = asyncio.Lock()

    @property
    def window_rows(self) -> int:
        return self._window.capacity

    @property
    def threshold(self) -> float:
        """The statistic at which the alarm of a full window is given."""
        return self._threshold

    def observe(self, blocks: Blocks) -> None:
        if isinstance(self._window, AgedWindow) and blocks.times is not None:
            self._window.extend(blocks.scores, self._clock() - np.repeat(blocks.times, blocks.rows))
        else:
            self._window.extend(blocks.scores)

    @property
    def version(self) -> int:
        return self._window.total + self._resets

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        if not isinstance(self._window, AgedWindow):
            return {"scores": self._window.snapshot()}
        ages, scores = self._window.ages(), self._window.snapshot()
        # The oldest may have left in between. Times of the day, for the ages' clock does not go on over a restart.
        return {"scores": scores, "times": self._now().timestamp() - ages[len(ages) - len(scores) :]}

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        scores = dumped["scores"]
        if scores.dtype != np.float64 or scores.ndim != 1:
            raise ValueError(f"the window's scores are {scores.dtype} {scores.shape}")
        if not isinstance(self._window, AgedWindow) or "times" not in dumped:
            self._window.extend(scores)
            return
        ages = self._now().timestamp() - dumped["times"]
        if ages.shape != scores.shape or not np.isfinite(ages).all():
            raise ValueError(f"{len(scores)} scores have times of shape {ages.shape}")
        # A clock that was set back makes them new, and no newer than that.
        self._window.extend(scores, np.minimum.accumulate(np.maximum(ages, 0)))

    def reset(self) -> None:
        """Empty the window."""
        self._resets += self._window.total + 1
        self._window = self._empty(self._window.capacity)
        self._computed = (0, 0)
        self._state = self._describe(0, self._window.snapshot(), None, None)

    def _empty(self, window_rows: int) -> Window:
        if self._max_age_seconds is None:
            return Window(window_rows)
        return AgedWindow(window_rows, self._max_age_seconds, self._clock)

    async def state(self) -> DriftState:
        """The state of the window as it is now."""
        async with self._one_at_a_time:
            resets, total, scores = self._resets, self._window.total, self._window.snapshot()
            if self._computed != (total, len(scores)):
                result = None
                if len(scores) >= self._least_rows():
                    result = await asyncio.to_thread(ks.two_sample, scores, self._reference)
                if resets != self._resets:  # meanwhile: these scores are gone
                    return self._state
                before = self._state
                self._state = self._describe(total, scores, result, before)
                self._computed = total, len(scores)
                if before.state != self._state.state:
                    self._log_change(self._state)
            return self._state

    def _least_rows(self) -> int:
        """Scores in the window from which on it tells."""
        capacity = self._window.capacity
        return capacity if self._max_age_seconds is None else min(capacity, LEAST_AGED_ROWS)

    def _thresholds(self, rows: int) -> tuple[float, float]:
        """Of the p-value and of the statistic, for a window that holds so many rows."""
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
