"""`feature_mmd`: kernel MMD of the classifier's features in a window against reference features.

A test costs tens of milliseconds, a few hundred where p is small. So it runs on a worker thread, which then rests: it
never takes more than a few hundredths of a core.

Windows are tested when they hold only rows that no test has seen, which keeps the tests apart: with p at most `rows
from test to test / rows between false alarms`, the mean run to a false alarm is at least what was asked, taken over
references. (The mean of a run is at least the inverse of the mean rate.)
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from service.drift import mmd
from service.drift.state import Blocks, DriftState, State
from service.drift.window import Window

log = logging.getLogger(__name__)

Features = npt.NDArray[np.float32]

PERMUTATIONS = 1999
"""The p-value of a test can fall to 1 / 2000 and no further; a rarer alarm is had by testing more seldom."""

LARGEST_SHARE_OF_A_CORE = 0.03


def rows_between_tests(window_rows: int, rows_between_false_alarms: int) -> int:
    """Rows from test to test: all of a window's are new, and the p-value of an alarm is one that a test can reach."""
    return max(window_rows, math.ceil(rows_between_false_alarms / (PERMUTATIONS + 1)))


class FeatureMmd:
    """Kernel MMD test of `window_rows` rows of features against `reference` (m, d) float32.

    Raises ValueError where the settings cannot give an alarm. `now` gives the time for `since`, `clock` seconds for the
    rests, `seed` decides the permutations.
    """

    name = "feature_mmd"

    def __init__(
        self,
        reference: Features,
        window_rows: int,
        rows_between_false_alarms: int,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self._rows_between_tests = rows_between_tests(window_rows, rows_between_false_alarms)
        self._p_value_threshold = self._rows_between_tests / rows_between_false_alarms
        if self._p_value_threshold >= 0.5:
            raise ValueError(
                f"{rows_between_false_alarms} rows between false alarms are too few for a window of {window_rows} rows "
                f"of features: ask for more than {2 * window_rows}"
            )
        self._reference = reference
        self._window = Window(window_rows, reference.shape[1], np.float32)
        self._rows_between_false_alarms = rows_between_false_alarms
        self._now = now
        self._clock = clock
        self._random = np.random.default_rng(seed)
        self._running: asyncio.Task[None] | None = None
        self._resets = 0
        self.reset()

    def reset(self) -> None:
        """Empty the window and forget the last test; one that runs now will not count."""
        self._resets += self._window.total + 1
        self._window = Window(self._window.capacity, self._reference.shape[1], np.float32)
        self._tested_total = 0
        self._rested_at = -math.inf
        self._result: mmd.MmdResult | None = None
        self._state: State = "warming"
        self._since = self._now()

    def observe(self, blocks: Blocks) -> None:
        if blocks.features is None:
            return
        finite = np.isfinite(blocks.features).all(1)
        self._window.extend(blocks.features if finite.all() else blocks.features[finite])

    @property
    def version(self) -> int:
        return self._window.total + self._resets

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"features": self._window.snapshot(), "untested_rows": np.array(self._window.total - self._tested_total)}

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        features, untested_rows = dumped["features"], int(dumped["untested_rows"])
        if features.dtype != np.float32 or features.shape[1:] != self._reference.shape[1:]:
            raise ValueError(f"the window's features are {features.dtype} {features.shape}")
        self._window.extend(features)
        self._tested_total = self._window.total - max(0, untested_rows)

    def recent(self) -> Features:
        """The features in the window now, (rows, d), oldest first."""
        return self._window.snapshot()

    async def state(self) -> DriftState:
        """The state after the last test. Begins the next one, if it is due, and does not wait for it."""
        if self._is_due():
            self._running = asyncio.create_task(self._test())
        result = self._result
        return DriftState(
            state=self._state,
            p_value=None if result is None else result.p_value,
            statistic=None if result is None else result.statistic,
            threshold=None,
            window_rows=self._window.capacity,
            rows=self._window.rows,
            reference_rows=len(self._reference),
            rows_between_false_alarms=self._rows_between_false_alarms,
            since=self._since,
            total_rows=self._window.total,
            log10_p_value=None if result is None else math.log10(result.p_value),
            p_value_threshold=self._p_value_threshold,
        )

    async def settled(self) -> None:
        """Wait for a test that runs now."""
        if self._running is not None:
            await self._running

    def _is_due(self) -> bool:
        untested_rows = self._window.total - self._tested_total
        wanted = self._rows_between_tests if self._result else self._window.capacity
        idle = self._running is None or self._running.done()
        return idle and untested_rows >= wanted and self._clock() >= self._rested_at

    async def _test(self) -> None:
        resets, window = self._resets, self._window.snapshot()
        self._tested_total = self._window.total
        try:
            result, seconds = await asyncio.to_thread(self._measured, window)
        except Exception:  # the next window may do better; the detector must not end with this one
            log.exception("%s could not test its window", self.name)
            return
        self._rested_at = self._clock() + seconds * (1 / LARGEST_SHARE_OF_A_CORE - 1)
        if resets != self._resets:
            return
        self._result = result
        state: State = "drifting" if result.p_value <= self._p_value_threshold else "ok"
        if state != self._state:
            self._state, self._since = state, self._now()
            level = logging.WARNING if state == "drifting" else logging.INFO
            log.log(level, "%s is %s: p = %s, MMD^2 = %s", self.name, state, result.p_value, result.statistic)

    def _measured(self, window: Features) -> tuple[mmd.MmdResult, float]:
        """The test, and how many seconds this thread worked for it (waits for a busy core are not work)."""
        begin = time.thread_time()
        result = mmd.permutation_test(self._reference, window, PERMUTATIONS, self._random)
        return result, time.thread_time() - begin
