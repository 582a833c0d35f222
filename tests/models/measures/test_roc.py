"""The area under the curve, compared with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as roc_curve_by_scikit_learn

from harmgauge_models.measures.roc import roc_auc, roc_curve

scores = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(scores, scores)
def test_it_is_scikit_learns_ties_included(high: list[int], low: list[int]) -> None:
    labels = [1] * len(high) + [0] * len(low)
    expected = roc_auc_score(labels, high + low)
    assert roc_auc(np.array(high, float), np.array(low, float)) == pytest.approx(expected)


def test_ends_and_middle() -> None:
    low, high = np.arange(5.0), np.arange(5.0, 9)
    assert roc_auc(high, low) == 1
    assert roc_auc(low, high) == 0
    assert roc_auc(np.zeros(4), np.zeros(7)) == 0.5
    assert np.isnan(roc_auc(np.array([]), low))


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        roc_auc(np.array([1.0, np.nan]), np.zeros(2))


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.lists(st.integers(-5, 5), min_size=1, max_size=60))
def test_the_curve_lies_on_scikit_learns_and_rises_from_corner_to_corner(high: list[int], low: list[int]) -> None:
    labels = [1] * len(high) + [0] * len(low)
    false_expected, true_expected, _ = roc_curve_by_scikit_learn(labels, high + low, drop_intermediate=False)
    false_rate, true_rate = roc_curve(np.array(high, float), np.array(low, float))
    expected = set(zip(false_expected.round(9), true_expected.round(9), strict=True))
    assert set(zip(false_rate.round(9), true_rate.round(9), strict=True)) <= expected
    for rate in (false_rate, true_rate):
        assert (np.diff(rate) >= 0).all()
        assert (rate[0], rate[-1]) == (0, 1)


def test_a_thinned_curve_keeps_the_area() -> None:
    random = np.random.default_rng(0)
    high, low = random.normal(1, 1, 5000), random.normal(0, 1, 20_000)
    false_rate, true_rate = roc_curve(high, low)
    assert len(false_rate) <= 101
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(roc_auc(high, low), abs=1e-3)
    with pytest.raises(ValueError, match="got 0 and 4"):
        roc_curve(high[:0], low[:4])
