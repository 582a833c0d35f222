"""The window from which scores also expire by age, and its effect on `score_ks`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from harmgauge.drift import ks
from harmgauge.drift.score_ks import LEAST_AGED_ROWS, ScoreKs
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.drift.window import AgedWindow

START = datetime(2026, 1, 1, tzinfo=UTC)
REFERENCE = np.sort(np.random.default_rng(0).exponential(size=2000))


class Clock:
    """A clock in seconds that tests advance; `day_offset_seconds` is the error of the time of day."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.day_offset_seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds + self.day_offset_seconds)


def detector(clock: Clock, window_rows: int = 1000, age_seconds: float | None = 60) -> ScoreKs:
    return ScoreKs(REFERENCE, window_rows, 1_000_000, max_age_seconds=age_seconds, now=clock.now, clock=clock)


def state(of: ScoreKs) -> DriftState:
    return asyncio.run(of.state())


@given(steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 12)), max_size=20))
def test_holds_what_is_young_and_new_enough(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    window = AgedWindow(10, 60, clock)
    ever: list[tuple[float, float]] = []
    for pause_seconds, rows in steps:
        clock.seconds += pause_seconds
        scores = np.arange(rows, dtype=np.float64) + len(ever)
        window.extend(scores)
        ever += [(clock.seconds, score) for score in scores]
        expected = [score for time, score in ever[-10:] if clock.seconds - time <= 60]
        assert window.snapshot().tolist() == expected
        assert window.rows == len(expected)


def test_tells_from_a_hundred_scores_on_and_warms_again_when_they_are_too_old() -> None:
    clock = Clock()
    monitor = detector(clock)
    random = np.random.default_rng(1)
    monitor.observe(Blocks.of(random.exponential(size=LEAST_AGED_ROWS - 1)))
    assert state(monitor).state == "warming"
    clock.seconds = 30
    monitor.observe(Blocks.of(random.exponential(size=51)))
    found = state(monitor)
    assert (found.state, found.rows, found.p_value_threshold) == ("ok", 150, ks.ALARM_FACTOR * 150 / 1_000_000)
    assert found.scores is not None
    assert found.p_value == pytest.approx(ks_2samp(found.scores, REFERENCE).pvalue, rel=1e-9)
    clock.seconds = 61  # nothing came, and the first 99 are too old
    assert (state(monitor).state, state(monitor).rows, state(monitor).p_value) == ("warming", 51, None)


def test_old_drift_leaves_by_itself() -> None:
    clock = Clock()
    monitor = detector(clock)
    random = np.random.default_rng(2)
    monitor.observe(Blocks.of(random.exponential(size=200) + 1))
    found = state(monitor)
    assert found.state == "drifting"
    assert found.statistic is not None
    assert found.threshold is not None
    assert found.statistic >= found.threshold
    clock.seconds = 61
    monitor.observe(Blocks.of(random.exponential(size=200)))
    assert state(monitor).state == "ok"


def test_threshold_of_a_part_filled_window_is_close_to_the_exact_one() -> None:
    for rows in (100, 400):
        p_value = ks.p_value_threshold(rows, 1_000_000)
        exact = ks.statistic_threshold(rows, 2000, p_value)
        assert ks.approximate_statistic_threshold(rows, 2000, p_value) == pytest.approx(exact, rel=0.05)


def test_ages_go_on_over_a_restart() -> None:
    clock = Clock()
    before = detector(clock)
    before.observe(Blocks.of(np.ones(120)))
    clock.seconds = 30
    before.observe(Blocks.of(np.zeros(130)))
    dumped = before.dump()
    clock.seconds = 62  # half a minute later, the first are too old
    after = detector(clock)
    after.restore(dumped)
    scores = state(after).scores
    assert scores is not None
    assert scores.tolist() == [0.0] * 130


def test_a_clock_that_was_set_back_breaks_nothing() -> None:
    clock = Clock()
    before = detector(clock)
    before.observe(Blocks.of(np.ones(120)))
    dumped = before.dump()
    clock.day_offset_seconds = -7200
    after = detector(clock)
    after.restore(dumped)
    assert state(after).rows == 120
    clock.seconds += 61
    assert state(after).rows == 0


def test_a_state_of_other_settings_is_taken() -> None:
    clock = Clock()
    by_rows, by_age = detector(clock, age_seconds=None), detector(clock)
    by_rows.observe(Blocks.of(np.ones(120)))
    by_age.restore(by_rows.dump())
    assert state(by_age).rows == 120
    again = detector(clock, age_seconds=None)
    again.restore(by_age.dump())
    assert state(again).rows == 120


def test_times_that_do_not_fit_are_refused() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="^times (is|contains)"):
        detector(clock).restore({"scores": np.ones(120), "times": np.ones(3)})
    with pytest.raises(ValueError, match="^times (is|contains)"):
        detector(clock).restore({"scores": np.ones(2), "times": np.array([0.0, np.nan])})


def test_a_score_is_as_old_as_its_answer_however_late_it_is_handed_over() -> None:
    clock = Clock()
    monitor = detector(clock)
    clock.seconds = 100
    blocks = Blocks(np.arange(220.0), np.array([100, 120]), (None, None), times=np.array([30.0, 95.0]))
    monitor.observe(blocks)
    found = state(monitor)
    assert found.scores is not None
    assert found.scores.tolist() == list(range(100, 220))
