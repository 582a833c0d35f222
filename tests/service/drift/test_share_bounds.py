"""Upper bounds on shares: scipy's quantiles, and their coverage over the luck of the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from harmgauge.drift import evidence
from harmgauge.drift.share_bounds import upper_bounds


@given(rows=st.integers(1, 10**7), part=st.floats(0, 1), error=st.sampled_from([0.1, 0.01, 0.01 / 16, 1e-6]))
def test_it_is_scipys_quantile(rows: int, part: float, error: float) -> None:
    size = 1 + int(part * (rows - 1))
    expected = beta.ppf(1 - error, size, rows + 1 - size)
    assert upper_bounds(np.array([size]), rows, error)[0] == pytest.approx(expected, rel=1e-7)


def test_many_at_once_are_the_same() -> None:
    sizes = np.arange(1, 501)
    np.testing.assert_allclose(upper_bounds(sizes, 500, 1e-4 / 16), beta.ppf(1 - 1e-4 / 16, sizes, 501 - sizes), 1e-7)


@pytest.mark.parametrize("rows", [100, 500, 5000])
def test_all_bounds_of_a_reference_hold_together_except_with_the_stated_probability(rows: int) -> None:
    """The traffic's shares beyond the order statistics of uniform references, whose bounds are those of any others."""
    random = np.random.default_rng(rows)
    bounds, sizes = evidence.Null.of(rows, 0).bounds, evidence.half_lines(rows)
    broken, count = 0, 4000
    for _ in range(count):
        reference = np.sort(random.random(rows))
        shares = np.concatenate([1 - reference[rows - sizes], reference[sizes - 1]])
        broken += bool((shares > bounds).any())
    assert 0 < broken <= count * evidence.ERROR


def test_the_tolerance_is_part_of_the_bounds() -> None:
    strict, tolerant = evidence.Null.of(300, 0).bounds, evidence.Null.of(300, 0.05).bounds
    np.testing.assert_allclose(tolerant, 0.05 + 0.95 * strict)
