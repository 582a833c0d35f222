"""Thresholds that scores can exceed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harmgauge_models.building.threshold import check_distinct, threshold_of
from harmgauge_models.errors import UserError


@given(
    arrays(np.float64, st.integers(100, 300), elements=st.floats(0, 100, width=32)),
    st.floats(1, 99.9),
)
def test_a_threshold_lies_below_some_score_or_is_refused(scores: np.ndarray, percentile: float) -> None:
    try:
        threshold = threshold_of(scores, percentile)
    except UserError:
        least = float(np.float32(np.percentile(scores, percentile)))
        assert not (scores.astype(np.float32) > least).any()
    else:
        assert (scores.astype(np.float32) > threshold).any()


def test_the_percentile_that_would_do_is_named() -> None:
    scores = np.repeat([0.0, 16.0], [900, 100])
    with pytest.raises(UserError, match="10.0% of the calibration rows have the largest score, 16.*--percentile to 90"):
        threshold_of(scores, 95)
    assert threshold_of(scores, 89) == 0
    assert threshold_of(scores, 100) == 16, "as was asked for"


def test_the_same_network_twice_is_refused() -> None:
    first = np.random.default_rng(0).dirichlet(np.ones(3), 100)
    check_distinct(first, first[::-1])
    with pytest.raises(UserError, match="the same network"):
        check_distinct(first, first + 1e-8)
