"""The area under the curve, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from models.evaluation.roc import roc_auc

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
