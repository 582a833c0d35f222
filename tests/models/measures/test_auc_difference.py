"""The difference of two areas and its interval, compared with brute force and a bootstrap; the interval's coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge_models.measures.auc_difference import auc_difference
from harmgauge_models.measures.roc import roc_auc

pairs = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=15)


def psi(high: npt.NDArray[Any], low: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """1, 1/2 or 0 for each pair, (m, n): DeLong's kernel, written out."""
    above: npt.NDArray[np.float64] = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    return above


@given(pairs, pairs)
def test_it_is_delongs_covariance_written_out_ties_included(
    high: list[tuple[int, int]], low: list[tuple[int, int]]
) -> None:
    rows = np.array(high + low, float)
    positive = np.arange(len(rows)) < len(high)
    found = auc_difference(rows[:, 0], rows[:, 1], positive)
    kernels = [psi(rows[positive, i], rows[~positive, i]) for i in (0, 1)]
    by_high, by_low = (np.cov([kernel.mean(axis) for kernel in kernels]) for axis in (1, 0))
    covariance = by_high / len(high) + by_low / len(low)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    expected = roc_auc(rows[positive, 0], rows[~positive, 0]) - roc_auc(rows[positive, 1], rows[~positive, 1])
    assert found.difference == pytest.approx(expected, abs=1e-12)
    margin = 1.959964 * np.sqrt(max(0.0, variance))
    assert found.low == pytest.approx(max(-1, expected - margin), abs=1e-6)
    assert found.high == pytest.approx(min(1, expected + margin), abs=1e-6)


def two_scores(random: np.random.Generator, rows: int) -> tuple[npt.NDArray[Any], ...]:
    positive = random.random(rows) < 0.3
    common = random.normal(size=rows) + positive
    return common + random.normal(size=rows), common + 0.5 * random.normal(size=rows), positive


def test_the_interval_is_that_of_a_stratified_paired_bootstrap() -> None:
    random = np.random.default_rng(0)
    first, second, positive = two_scores(random, 600)
    found = auc_difference(first, second, positive)
    drawn = []
    for _ in range(600):
        picked = np.concatenate([random.choice(np.flatnonzero(group), group.sum()) for group in (positive, ~positive)])
        high, low = picked[positive[picked]], picked[~positive[picked]]
        drawn.append(roc_auc(first[high], first[low]) - roc_auc(second[high], second[low]))
    low_bound, high_bound = np.quantile(drawn, [0.025, 0.975])
    width = high_bound - low_bound
    assert found.low == pytest.approx(low_bound, abs=0.15 * width)
    assert found.high == pytest.approx(high_bound, abs=0.15 * width)


def test_equal_scores_are_called_worse_in_one_of_forty_cases_at_most_or_so() -> None:
    random = np.random.default_rng(1)
    below = 0
    for _ in range(400):
        positive = random.random(80) < 0.4
        first, second = random.normal(size=(2, 80)) + positive
        below += auc_difference(first, second, positive).is_below
    assert 0 < below <= 20


def test_copies_of_a_row_count_once_in_clusters() -> None:
    first, second, positive = two_scores(np.random.default_rng(2), 300)
    alone = auc_difference(first, second, positive)
    copies = [np.tile(some, 9) for some in (first, second, positive)]
    naive = auc_difference(copies[0], copies[1], copies[2])
    clustered = auc_difference(copies[0], copies[1], copies[2], clusters=np.tile(np.arange(300), 9))
    assert clustered.difference == pytest.approx(alone.difference)
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low, rel=0.02)
    assert naive.high - naive.low == pytest.approx((alone.high - alone.low) / 3, rel=0.02)


def test_too_few_rows_tell_nothing() -> None:
    scores = np.array([3.0, 1, 2])
    found = auc_difference(scores, -scores, np.array([True, False, False]))
    assert found == (1.0, -1.0, 1.0)
    assert not found.is_below
    none = auc_difference(scores, -scores, np.zeros(3, bool))
    assert np.isnan(none.difference)
    assert (none.low, none.high) == (-1.0, 1.0)


def test_shapes_and_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="expected three arrays"):
        auc_difference(np.zeros(3), np.zeros(4), np.zeros(3, bool))
    with pytest.raises(ValueError, match="expected clusters"):
        auc_difference(np.zeros(3), np.zeros(3), np.zeros(3, bool), np.zeros(2, int))
    with pytest.raises(ValueError, match="NaN"):
        auc_difference(np.array([0, np.nan, 1]), np.zeros(3), np.zeros(3, bool))
