"""Samples the service at regular intervals, independently of requests, so that a newly opened page shows the past."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping

import numpy as np

from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.state import DriftState
from harmgauge.observe.totals import Totals, bucket_quantile
from harmgauge.page.history import History

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 5.0
HISTORY_SECONDS = 3600.0

TRAFFIC = (
    "rows_per_second",
    "requests_per_second",
    "failed_per_second",
    "median_seconds",
    "p99_seconds",
    "queue_rows",
    "flagged_share",
)
"""`flagged_share` describes the scores in the window, the others the time since the previous sample."""

ACCURACY = ("accuracy.estimate", "accuracy.lower", "accuracy.upper")
"""Columns of the window's accuracy; empty if the bundle has no P(wrong)."""

STATES = ("warming", "ok", "drifting")
"""The history stores a state as an index into this."""

LEAST_STATISTIC = 1e-3
"""Evidence starts at 0, which has no logarithm."""


class Recorder:
    """Records detectors, accuracy, traffic and the flagged share in `history` every `sample_seconds`."""

    def __init__(
        self,
        monitor: Monitor,
        totals: Callable[[], Totals],
        threshold: float,
        *,
        sample_seconds: float = SAMPLE_SECONDS,
        history_seconds: float = HISTORY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._monitor = monitor
        self._totals = totals
        self._threshold = threshold
        self.sample_seconds = sample_seconds
        self._clock = clock
        self._now = now
        names = [f"{detector}.{part}" for detector in monitor.names for part in ("state", "log10")]
        self.history = History([*TRAFFIC, *ACCURACY, *names], max(1, round(history_seconds / sample_seconds)))
        self._before = totals()
        self._before_at = clock()

    async def sample(self) -> None:
        """Take one sample now."""
        states = await self._monitor.states()
        totals, at = self._totals(), self._clock()
        values = _traffic(self._before, totals, at - self._before_at)
        # Takes a millisecond for a window of a million rows.
        values["flagged_share"] = await asyncio.to_thread(flagged_share, states, self._threshold)
        values |= _accuracy(await self._monitor.accuracy())
        for name, state in states.items():
            values[f"{name}.state"] = STATES.index(state.state)
            values[f"{name}.log10"] = _log10(state)
        self._before, self._before_at = totals, at
        self.history.add(self._now(), values)

    async def keep_recording(self) -> None:
        """Take samples until cancelled."""
        while True:
            await asyncio.sleep(self.sample_seconds)
            try:
                await self.sample()
            except Exception:  # a gap in a chart; the next sample may succeed
                log.exception("cannot take a sample for the page")


def flagged_share(states: Mapping[str, DriftState], threshold: float) -> float | None:
    """Share flagged among the scores in the window; None if there are none."""
    for state in states.values():
        if state.scores is not None and len(state.scores):
            return float(np.count_nonzero(state.scores > threshold) / len(state.scores))
    return None


def _log10(state: DriftState) -> float | None:
    """Logarithm of the figure that decides the alarm: the p-value if the detector has one, otherwise the statistic."""
    if state.p_value_threshold is not None:
        return state.log10_p_value
    return None if state.statistic is None else math.log10(max(state.statistic, LEAST_STATISTIC))


def _accuracy(found: Accuracy | None) -> dict[str, float | None]:
    """Empty until there is an interval: an estimate from a few rows would set the scale of the chart."""
    if found is None or found.lower is None:
        return {}
    return dict(zip(ACCURACY, (found.estimate, found.lower, found.upper), strict=True))


def _traffic(before: Totals, after: Totals, seconds: float) -> dict[str, float | None]:
    counts = after.seconds_counts - before.seconds_counts
    return {
        "rows_per_second": (after.rows - before.rows) / seconds,
        "requests_per_second": (after.requests - before.requests) / seconds,
        "failed_per_second": (after.failed - before.failed) / seconds,
        "median_seconds": bucket_quantile(after.seconds_bounds, counts, 0.5),
        "p99_seconds": bucket_quantile(after.seconds_bounds, counts, 0.99),
        "queue_rows": after.queue_rows,
    }
