"""`feature_mmd`: kernel MMD of the classifier's features in a window against reference features.

A test takes tens of milliseconds, or a few hundred if p is small. So it runs on a worker thread, which then rests: it
never takes more than a hundredth of a core.

A window is tested only when all its rows are untested, so tests do not overlap: with p at most `rows from test to test
/ rows between false alarms`, the mean run to a false alarm is at least the requested one, averaged over references.
(The mean of a run is at least the inverse of the mean rate.) But all tests share one reference, and an unlucky
reference raises their rate permanently; hence ALARM_DIVISOR.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.drift import dumped as read
from harmgauge.drift import mmd
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.state import Blocks, DriftState, State
from harmgauge.drift.window import Held, Window
from harmgauge.errors import SettingsError
from harmgauge.settings import Settings

log = logging.getLogger(__name__)

Features = npt.NDArray[np.float32]

MOST_PERMUTATIONS = 19_999
"""The p-value of a test cannot fall below 1 / 20,000; rarer alarms require rarer tests."""

ALARM_DIVISOR = 5
"""Divides the p-value of the alarm. (A whole number, so that rounding cannot put the p-value below what a test can
reach.)

Of 24 references of 1000 rows (normal, with the covariance of the shipped features) the unluckiest gave 4 to 7 times as
many small p-values as expected for windows of 500 rows, the next 1.5 to 2.5 times (simulated, 150 windows each).
"""

LARGEST_SHARE_OF_A_CORE = 0.01

MOST_STATISTIC = 4.0
"""Sums of means of a kernel that is at most 1, with a margin for rounding."""

MAX_SAVED_BYTES = 4 * 2**20
"""A larger window is not saved, because it would be rewritten every second."""


@dataclass(frozen=True)
class _Tested:
    """The last test: its result, its time, and the number of rows before it."""

    statistic: float
    p_value: float
    at: datetime
    total_rows: int


@dataclass(frozen=True)
class Schedule:
    """Tests are at least `rows_between_tests` apart, with at most `permutations` permutations each; the alarm is raised
    at `p_value` or below.
    """

    rows_between_tests: int
    permutations: int
    p_value: float


def schedule(window_rows: int, rows_between_false_alarms: int) -> Schedule:
    """A schedule in which all rows of a window are new to its test, and a test can reach the p-value of the alarm."""
    between = ALARM_DIVISOR * rows_between_false_alarms
    rows = max(window_rows, math.ceil(between / (MOST_PERMUTATIONS + 1)))
    permutations = min(MOST_PERMUTATIONS, math.ceil(between / window_rows) - 1)
    return Schedule(rows, permutations, rows / between)


def _last_test(dumped: Dumped, total: int, new_total: int) -> _Tested | None:
    """The saved test, if there was one, with its row count shifted: `total` at the time corresponds to `new_total` now.

    Raises ValueError for a result that no test can have.
    """
    if read.has_shape(dumped, "last", (0,)):
        return None
    # The count may be negative: it restarts with the process.
    least = np.array([-MOST_STATISTIC, np.nextafter(0, 1), 0, -read.MOST_ROWS])
    most = np.array([MOST_STATISTIC, 1, read.LATEST_SECONDS, total])
    statistic, p_value, at, tested_total = read.within(dumped, "last", (4,), least, most).tolist()
    if tested_total != round(tested_total):
        raise ValueError(f"the last test is after {tested_total} rows, expected a whole number")
    return _Tested(statistic, p_value, read.at(at), max(-read.MOST_ROWS, new_total - total + int(tested_total)))


def from_bundle(bundle: Bundle, settings: Settings) -> FeatureMmd | None:
    """The detector, if the bundle has features and the settings do not disable it. Raises SettingsError."""
    if bundle.reference.features is None or not settings.feature_mmd:
        return None
    between = settings.rows_between_false_alarms or bundle.manifest.drift.rows_between_false_alarms
    try:
        return FeatureMmd(bundle.reference.features, settings.feature_window_rows, between)
    except ValueError as error:
        raise SettingsError(
            f"HARMGAUGE_FEATURE_WINDOW_ROWS and HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS do not fit together: {error}, "
            "or set HARMGAUGE_FEATURE_MMD=false"
        ) from error


class FeatureMmd:
    """Kernel MMD test of `window_rows` rows of features against `reference` (m, d) float32.

    Raises ValueError if no alarm is possible with these settings. `now` returns the time for `since`, `clock` seconds
    for the rests; `seed` determines the permutations.
    """

    name = "feature_mmd"
    gauges: ClassVar[Mapping[str, str]] = {}

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
        self._schedule = schedule(window_rows, rows_between_false_alarms)
        if self._schedule.p_value >= 0.5 / ALARM_DIVISOR:
            raise ValueError(
                f"{rows_between_false_alarms} rows between false alarms are too few for a window of {window_rows} rows "
                f"of features: set more than {2 * window_rows}"
            )
        self._reference = reference
        self._window = Window(window_rows, reference.shape[1], np.float32)
        self._rows_between_false_alarms = rows_between_false_alarms
        self._now = now
        self._clock = clock
        self._random = np.random.default_rng(seed)
        self._running: asyncio.Task[None] | None = None
        self._changes = 0
        self.reset()

    def reset(self) -> None:
        """Empty the window and forget the last test; a test that is running will not count."""
        self._changes += self._window.total + 1
        self._window = Window(self._window.capacity, self._reference.shape[1], np.float32)
        self._last: _Tested | None = None
        self._begun_total = 0
        self._rested_at = -math.inf
        self._state: State = "warming"
        self._since = self._now()
        self._told_of_dropped = False

    def observe(self, blocks: Blocks) -> None:
        if blocks.features is None:
            return
        finite = np.isfinite(blocks.features).all(1)
        if not finite.all() and not self._told_of_dropped:
            self._told_of_dropped = True
            log.warning(
                "%s ignores features that are not finite: the graph overflows on some inputs, or passes missing values "
                "through",
                self.name,
            )
        self._window.extend(blocks.features if finite.all() else blocks.features[finite])

    @property
    def version(self) -> int:
        return self._window.total + self._changes

    @property
    def total_rows(self) -> int:
        """Rows since the detector started."""
        return self._window.total

    def recent(self) -> Held:
        """The features in the window now, (rows, d), oldest first."""
        return self._window.held()

    def dump(self) -> dict[str, npt.NDArray[Any] | Held]:
        last, features = self._last, self._window.held()
        found = [] if last is None else [last.statistic, last.p_value, last.at.timestamp(), last.total_rows]
        return {
            "features": features if features.nbytes <= MAX_SAVED_BYTES else self._reference[:0],
            "total_rows": np.array(self._window.total),
            "last": np.array(found, np.float64),
            "drifting": np.array(self._state == "drifting"),
            "since": np.array(self._since.timestamp()),
        }

    def restore(self, dumped: Dumped) -> None:
        features = read.rows(dumped, "features", np.float32, self._reference.shape[1:])
        total = read.whole(dumped, "total_rows", len(features), read.MOST_ROWS)
        # The total restarts with this process, so rows are counted from here.
        last = _last_test(dumped, total, len(features))
        drifting, since = read.flag(dumped, "drifting"), read.moment(dumped, "since")
        if last is None and drifting:
            raise ValueError("it is drifting, but no test has run")
        self._window.extend(features)
        self._changes += 1
        if last is not None:
            self._last, self._begun_total = last, last.total_rows
            self._state, self._since = ("drifting" if drifting else "ok"), since

    async def state(self) -> DriftState:
        """The state after the last test. Starts the next test once enough rows have arrived, but does not wait for it.

        `details`: tests are at least `rows_between_tests` rows apart; the last one was at `tested_at`; `untested_rows`
        arrived after its rows (if there are as many as `rows_between_tests` or more, a test is pending or running).
        """
        if self._is_due():
            self._running = asyncio.create_task(self._test())
        last = self._last
        return DriftState(
            state=self._state,
            p_value=None if last is None else last.p_value,
            statistic=None if last is None else last.statistic,
            threshold=None,
            window_rows=self._window.capacity,
            rows=self._window.rows,
            reference_rows=len(self._reference),
            rows_between_false_alarms=self._rows_between_false_alarms,
            since=self._since,
            total_rows=self._window.total,
            log10_p_value=None if last is None else math.log10(last.p_value),
            p_value_threshold=self._schedule.p_value,
            details={
                "rows_between_tests": self._schedule.rows_between_tests,
                "tested_at": None if last is None else last.at,
                "untested_rows": self._window.total - (0 if last is None else last.total_rows),
            },
        )

    async def settled(self) -> None:
        """Wait for a running test."""
        if self._running is not None:
            await self._running

    def _is_due(self) -> bool:
        wanted = self._window.capacity if self._last is None else self._schedule.rows_between_tests
        idle = self._running is None or self._running.done()
        enough = self._window.total - self._begun_total >= wanted and self._window.rows == self._window.capacity
        return idle and enough and self._clock() >= self._rested_at

    async def _test(self) -> None:
        window, rows = self._window, self._window.held()
        self._begun_total = total = window.total
        try:
            result, seconds = await asyncio.to_thread(self._measured, rows)
        except Exception:  # the next window may succeed; the detector must survive this one
            log.exception("%s could not test its window", self.name)
            return
        self._rested_at = self._clock() + seconds * (1 / LARGEST_SHARE_OF_A_CORE - 1)
        if window is not self._window:  # it was reset in the meantime
            return
        now = self._now()
        self._last = _Tested(result.statistic, result.p_value, now, total)
        self._changes += 1
        state: State = "drifting" if result.p_value <= self._schedule.p_value else "ok"
        if state != self._state:
            self._state, self._since = state, now
            level = logging.WARNING if state == "drifting" else logging.INFO
            log.log(level, "%s is %s: p = %s, MMD^2 = %s", self.name, state, result.p_value, result.statistic)

    def _measured(self, rows: Held) -> tuple[mmd.MmdResult, float]:
        """The test, and how long this thread worked on it, in seconds (waiting for a busy core does not count)."""
        begin = time.thread_time()
        result = mmd.permutation_test(self._reference, rows.joined(), self._schedule.permutations, self._random)
        return result, time.thread_time() - begin
