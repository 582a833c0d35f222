"""Rows to an alarm, compared with the detectors themselves evaluated step by step."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from harmgauge.drift import ks, mmd
from harmgauge.drift.feature_mmd import schedule
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.state import Blocks
from harmgauge_models.evaluation.alarms import (
    KS_STEP_ROWS,
    Draw,
    rows_to_evidence_alarm,
    rows_to_ks_alarm,
    rows_to_mmd_alarm,
)

BETWEEN = 10_000


def normal(shift: float, decimals: int = 8, width: int | None = None) -> Draw:
    def draw(random: np.random.Generator, rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return random.normal(shift, 1, rows if width is None else (rows, width)).round(decimals)

    return draw


@pytest.mark.parametrize("decimals", [8, 1])
@pytest.mark.parametrize("seed", range(4))
def test_the_ks_alarm_is_that_of_scipys_statistic_at_every_step(seed: int, decimals: int) -> None:
    reference = np.sort(np.random.default_rng(99).normal(size=300).round(decimals))
    before, draw = normal(0, decimals), normal(0.6, decimals)
    found = rows_to_ks_alarm(
        reference, before, draw, window_rows=60, rows_between_false_alarms=BETWEEN, most_rows=1000, seed=seed
    )
    random = np.random.default_rng(seed)
    stream = np.concatenate([before(random, 60), draw(random, 1000)])
    threshold = ks.statistic_threshold(60, 300, ks.p_value_threshold(60, BETWEEN))
    steps = range(60 + KS_STEP_ROWS, 1061, KS_STEP_ROWS)
    first = next(end for end in steps if ks.two_sample(stream[end - 60 : end], reference).statistic >= threshold - 1e-9)
    assert found == first - 60 < 1000


def test_the_evidence_alarm_is_that_of_the_detector() -> None:
    reference = np.sort(np.random.default_rng(99).normal(size=500))
    found = rows_to_evidence_alarm(reference, normal(0.7), BETWEEN, seed=3, most_rows=5000)
    random = np.random.default_rng(3)
    random.uniform(1e-12, 1, len(reference))  # the ranks draw first, because the ties of the reference require it
    detector = ScoreEvidence(reference, BETWEEN, 0)
    for rows, score in enumerate(normal(0.7)(random, 1024), 1):
        detector.observe(Blocks.of(np.array([score]), 1))
        if asyncio.run(detector.state()).state == "drifting":
            assert rows == found
            return
    pytest.fail("no alarm")


def test_the_mmd_alarm_comes_at_the_first_window_whose_p_is_small_enough() -> None:
    reference = np.random.default_rng(99).normal(size=(200, 3)).astype(np.float32)
    draw = normal(0.25, width=3)
    found = rows_to_mmd_alarm(
        reference, draw, window_rows=50, rows_between_false_alarms=BETWEEN, most_rows=2000, seed=1
    )
    random, plan = np.random.default_rng(1), schedule(50, BETWEEN)
    p_values = [
        mmd.permutation_test(reference, draw(random, 50), plan.permutations, random).p_value
        for _ in range(0, found, 50)
    ]
    assert [p <= plan.p_value for p in p_values] == [False] * (found // 50 - 1) + [True]
    assert 50 < found < 2000


def test_without_a_change_they_reach_the_cut_off() -> None:
    reference = np.sort(np.random.default_rng(99).normal(size=1000))
    rows = np.random.default_rng(98).normal(size=(200, 3)).astype(np.float32)
    far = 10**7
    same = normal(0)
    settings = {"window_rows": 100, "rows_between_false_alarms": far, "most_rows": 600, "seed": 0}
    assert rows_to_evidence_alarm(reference, same, far, seed=0, most_rows=600) == 600
    assert rows_to_ks_alarm(reference, same, same, **settings) == 600
    assert rows_to_mmd_alarm(rows, normal(0, width=3), **settings | {"rows_between_false_alarms": 10**5}) == 600
