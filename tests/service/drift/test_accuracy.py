"""The estimate of accuracy and its interval: exact values, and how often the interval contains the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from harmgauge.drift import accuracy
from harmgauge.drift.accuracy import ClassAccuracy
from tests.support.harm_streams import chances

CHANCES = hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(0, 1, width=32))


@given(p=CHANCES, base=st.floats(0, 1), kappa=st.floats(0, 2))
def test_estimate_and_interval_are_the_formula(
    p: np.ndarray[tuple[int], np.dtype[np.float32]], base: float, kappa: float
) -> None:
    exact = [float(value) for value in p]
    estimate = 1 - math.fsum(exact) / len(exact)
    assert accuracy.estimate(p) == pytest.approx(estimate, abs=1e-12)
    variance = math.fsum(value * (1 - value) for value in exact) / len(exact) ** 2
    deviation = math.sqrt(variance + (1.25 * kappa * (base - estimate)) ** 2 + 0.006**2)
    assert accuracy.standard_deviation(p, base, kappa) == pytest.approx(deviation, rel=1e-6)
    low, high = norm.interval(0.9, estimate, deviation)
    assert accuracy.interval(p, base, kappa) == pytest.approx((max(0, low), min(1, high)), abs=1e-7)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_an_interval_ends_where_accuracy_does(p: float) -> None:
    low, high = accuracy.interval(np.full(1000, p), 0.5, 1.0)
    assert 0 <= low <= 1 - p <= high <= 1


@pytest.mark.parametrize("rows", [200, 1000])
@pytest.mark.parametrize("mean", [0.07, 0.15, 0.4])
def test_the_truth_lies_in_it_nine_times_in_ten(rows: int, mean: float) -> None:
    """Rows are wrong exactly as often as P says, and P misses nothing: the interval covers little more than chance."""
    random = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        p = chances(random, rows, mean)
        low, high = accuracy.interval(p, 0.93, 0)
        covered.append(low <= np.mean(random.random(rows) >= p) <= high)
    assert 0.87 <= np.mean(covered) <= 0.98


def test_a_share_of_the_drop_that_is_missed_is_allowed_for() -> None:
    """P reports only 1 - kappa of every drop: the interval contains the truth, however many rows there are."""
    random = np.random.default_rng(0)
    for true in (0.9, 0.8, 0.6, 0.3):
        reported = 0.93 - (1 - 0.055) * (0.93 - true)
        low, high = accuracy.interval(chances(random, 1_000_000, 1 - reported), 0.93, 0.055)
        assert low <= true <= high


def test_classes_are_apart_and_those_without_a_row_left_out() -> None:
    p = np.array([0.5, 0.25, 0.0, 1.0, 0.5], np.float32)
    found = accuracy.by_class(p, np.array([2, 0, 0, 2, 2], np.uint8), ("cat", "dog", "frog"))
    assert found == (ClassAccuracy("cat", 0.875, 2), ClassAccuracy("frog", 1 - 2 / 3, 3))
