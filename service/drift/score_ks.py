"""`score_ks`: the two-sample Kolmogorov-Smirnov test of a sliding window.

Scores go in on the event loop, at the cost of a copy; statistics are computed on a worker thread, when somebody looks
and at a bounded rate in between, never per request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from service.drift import ks
from service.drift.state import Blocks, DriftState, State
from service.drift.window import Window

log = logging.getLogger(__name__)


class ScoreKs:
    """Two-sample KS test of the last `window_rows` scores against the reference.

    Raises ValueError where the settings cannot give an alarm. `now` gives the time for `since`.
    """

    name = "score_ks"

    def __init__(
        self,
        reference: npt.NDArray[np.float64],
        window_rows: int,
        rows_between_false_alarms: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reference = reference
        self._window = Window(window_rows)
        self._rows_between_false_alarms = rows_between_false_alarms
        self._p_value_threshold = ks.p_value_threshold(window_rows, rows_between_false_alarms)
        self._threshold = ks.statistic_threshold(window_rows, len(reference), self._p_value_threshold)
        if self._threshold > 1:
            raise ValueError(
                f"a window of {window_rows} rows can never reach p <= {self._p_value_threshold:.2g}: "
                f"take a larger window, or fewer than {rows_between_false_alarms} rows between false alarms"
            )
        self._now = now
        self._computed_total = 0
        self._resets = 0
        self._state = self._describe(None, self._window.snapshot(), None)
        self._one_at_a_time = asyncio.Lock()

    @property
    def window_rows(self) -> int:
        return self._window.capacity

    @property
    def threshold(self) -> float:
        """The statistic at which the alarm is given."""
        return self._threshold

    def observe(self, blocks: Blocks) -> None:
        self._window.extend(blocks.scores)

    @property
    def version(self) -> int:
        return self._window.total + self._resets

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"scores": self._window.snapshot()}

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        scores = dumped["scores"]
        if scores.dtype != np.float64 or scores.ndim != 1:
            raise ValueError(f"the window's scores are {scores.dtype} {scores.shape}")
        self._window.extend(scores)

    def reset(self) -> None:
        """Empty the window."""
        self._resets += self._window.total + 1
        self._window = Window(self._window.capacity)
        self._computed_total = 0
        self._state = self._describe(None, self._window.snapshot(), None)

    async def state(self) -> DriftState:
        """The state of the window as it is now."""
        async with self._one_at_a_time:
            if self._computed_total != self._window.total:
                total, scores = self._window.total, self._window.snapshot()
                full = len(scores) == self._window.capacity
                result = await asyncio.to_thread(ks.two_sample, scores, self._reference) if full else None
                before = self._state
                self._state = self._describe(result, scores, before)
                self._computed_total = total
                if before.state != self._state.state:
                    self._log_change(self._state)
            return self._state

    def _describe(
        self, result: ks.KsResult | None, scores: npt.NDArray[np.float64], before: DriftState | None
    ) -> DriftState:
        state: State = "warming"
        if result is not None:
            state = "drifting" if result.p_value <= self._p_value_threshold else "ok"
        return DriftState(
            state=state,
            p_value=None if result is None else result.p_value,
            statistic=None if result is None else result.statistic,
            threshold=self._threshold,
            window_rows=self._window.capacity,
            rows=len(scores),
            reference_rows=len(self._reference),
            rows_between_false_alarms=self._rows_between_false_alarms,
            since=before.since if before and before.state == state else self._now(),
            scores=scores,
            log10_p_value=None if result is None else result.log10_p_value,
        )

    def _log_change(self, state: DriftState) -> None:
        level = logging.WARNING if state.state == "drifting" else logging.INFO
        log.log(level, "%s is %s: p = %s, D = %s", self.name, state.state, state.p_value, state.statistic)
