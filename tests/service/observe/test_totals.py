"""Quantiles from buckets, equal to Prometheus' histogram_quantile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.observe.totals import bucket_quantile

BOUNDS = (1.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([10, 0, 0, 0], 0.5, 0.5),
        ([10, 10, 0, 0], 0.75, 1.5),
        ([0, 0, 10, 0], 0.5, 3.0),
        ([0, 0, 0, 5], 0.5, 4.0),
        ([5, 0, 5, 0], 0.5, 1.0),
        ([0, 0, 0, 0], 0.5, None),
    ],
)
def test_by_hand(counts: list[float], share: float, expected: float | None) -> None:
    assert bucket_quantile(BOUNDS, np.array(counts, float), share) == expected


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_it_is_off_by_no_more_than_the_bucket_is_wide(values: list[float], share: float) -> None:
    bounds = tuple(np.linspace(1, 100, 100).tolist())
    counts = np.bincount(np.searchsorted(bounds, values), minlength=101).astype(float)
    found = bucket_quantile(bounds, counts, share)
    assert found is not None
    exact = np.quantile(values, share, method="inverted_cdf")
    assert abs(found - exact) <= 1 + 1e-9
