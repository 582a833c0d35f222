"""The KS test compared with scipy and closed forms, and the meaning of the alarm's thresholds."""

from __future__ import annotations

import math
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstwo

from harmgauge.drift import ks, ks_exact, ks_large


@settings(deadline=None)
@given(
    window=st.lists(st.integers(0, 20), min_size=2, max_size=60),
    reference=st.lists(st.integers(0, 20), min_size=2, max_size=60),
)
def test_is_scipys_with_any_ties(window: list[int], reference: list[int]) -> None:
    a, b = np.array(window, float), np.array(reference, float)
    with warnings.catch_warnings(record=True) as unsuccessful:
        warnings.simplefilter("always")
        result, expected = ks.two_sample(a, b), ks_2samp(a, b)
    assert result.statistic == pytest.approx(expected.statistic, abs=1e-15)
    # For equal sizes, scipy mistakes an exact 1 that rounding made larger for a failure, and returns an approximation.
    assert result.p_value == pytest.approx(1 if unsuccessful else expected.pvalue, rel=1e-9)
    points = np.union1d(a, b)
    distance = max(abs((a <= point).mean() - (b <= point).mean()) for point in points)
    assert result.statistic == pytest.approx(distance, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "m", "statistics"),
    [
        (1000, 5000, (0.02, 0.0778, 0.2, 0.5)),
        (997, 1000, (0.03, 0.08, 0.3)),
        (100, 10_000, (0.1, 0.2, 0.6)),
        (3000, 3000, (0.01, 0.05, 0.2)),
        (10_000, 4000, (0.005, 0.03, 0.05)),
    ],
)
def test_large_samples_and_small_p_values_are_scipys_too(n: int, m: int, statistics: tuple[float, ...]) -> None:
    """A window that is `statistic` below a uniform reference."""
    reference = (np.arange(m) + 0.5) / m
    for statistic in statistics:
        window = np.maximum((np.arange(n) + 0.5) / n - statistic, 0)
        result, expected = ks.two_sample(window, reference), ks_2samp(window, reference)
        assert result.statistic == pytest.approx(expected.statistic, abs=1e-15)
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)


def test_beyond_ten_thousand_rows_it_is_smirnovs_limit_as_scipy_has_it() -> None:
    random = np.random.default_rng(0)
    window, reference = random.normal(0.03, 1, 11_000), random.normal(size=2000)
    result, expected = ks.two_sample(window, reference), ks_2samp(window, reference)
    assert (result.statistic, result.p_value) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)


def test_closed_forms() -> None:
    """Disjoint samples: 2 of the C(n + m, n) orders are as extreme. Peers give 0.688 for ties alone; it is 0."""
    apart = ks.two_sample(np.zeros(4), np.arange(1.0, 7))
    assert apart.statistic == 1
    assert apart.p_value == pytest.approx(2 / math.comb(10, 4))
    assert ks.two_sample(np.zeros(100), np.zeros(1000)) == ks.KsResult(0, 1, 0)


@pytest.mark.parametrize(
    ("window_rows", "reference_rows", "p_value"),
    [(10, 100, 1e-3), (100, 1000, 8e-6), (500, 1000, 4e-5), (1000, 5000, 8e-5), (500, 20_000, 1e-4)],
)
def test_the_statistic_threshold_is_the_smallest_that_alarms(
    window_rows: int, reference_rows: int, p_value: float
) -> None:
    threshold = ks.statistic_threshold(window_rows, reference_rows, p_value)
    reference = np.arange(1.0, reference_rows + 1)
    ratio = reference_rows // window_rows

    def with_statistic(steps: int) -> ks.KsResult:
        """The result for the statistic steps / reference_rows: k scores are below a window that follows the reference
        evenly.
        """
        k = -(-steps // ratio)
        behind = k * ratio - steps
        later = np.arange(k + 1, window_rows + 1) * ratio + 0.5
        return ks.two_sample(np.concatenate([np.full(k, behind + 0.5), later]), reference)

    at = round(threshold * reference_rows)
    assert with_statistic(at).statistic == pytest.approx(threshold)
    assert with_statistic(at).p_value <= p_value < with_statistic(at - 1).p_value


def test_a_window_too_small_to_alarm_has_no_threshold() -> None:
    assert ks.statistic_threshold(2, 100, 1e-6) == math.inf


def test_the_logarithm_goes_on_where_the_p_value_is_too_small() -> None:
    random = np.random.default_rng(0)
    reference = np.sort(random.normal(size=5000))
    near = ks.two_sample(random.normal(0.2, 1, 1000), reference)
    assert near.log10_p_value == pytest.approx(math.log10(near.p_value))
    shifts = [ks.two_sample(random.normal(shift, 1, 5000), reference) for shift in (0.5, 1, 2, 4)]
    logarithms = [result.log10_p_value for result in shifts]
    assert logarithms == sorted(logarithms, reverse=True)
    far = shifts[-1]
    assert far.p_value == 0
    assert -5000 < far.log10_p_value < -1000


def test_the_p_value_threshold() -> None:
    assert ks.p_value_threshold(1000, 1_000_000) == pytest.approx(8e-5)
    with pytest.raises(ValueError, match="set at least 160"):
        ks.p_value_threshold(1000, 100)
    assert ks.p_value_threshold(1000, 161) < 0.5


@pytest.mark.parametrize("rows", [5000, 20_011, 909_091])
def test_the_tail_of_large_samples_is_scipys_to_eleven_digits(rows: int) -> None:
    for square in (2.21, 3.0, 20.0, 300.0):
        statistic = math.sqrt(square / rows)
        assert ks_large.survival(statistic, rows) == pytest.approx(kstwo.sf(statistic, rows), rel=1e-11)


@pytest.mark.parametrize(
    ("window_rows", "reference_rows"), [(1_000_000, 10_000_000), (999_983, 1_000_003), (50_000, 100)]
)
def test_thresholds_of_the_largest_windows_take_no_time(window_rows: int, reference_rows: int) -> None:
    """It used to take 20 s."""
    begin = time.thread_time()
    p_value = ks.p_value_threshold(window_rows, 10**15)
    found = ks.statistic_threshold(window_rows, reference_rows, p_value)
    assert time.thread_time() - begin < 1
    limit = ks.approximate_statistic_threshold(window_rows, reference_rows, p_value)
    assert found == pytest.approx(limit, rel=0.02)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2, 120), m=st.integers(100, 300), power=st.integers(3, 15))
def test_a_threshold_alarms_and_what_is_below_it_does_not(n: int, m: int, power: int) -> None:
    p_value, units = ks.p_value_threshold(n, 10**power), math.lcm(n, m)
    found = ks.statistic_threshold(n, m, p_value)
    if math.isinf(found):
        assert ks_exact.survival(units, n, m) > p_value
        return
    steps = round(found * units)
    assert ks_exact.survival(steps, n, m) <= p_value
    assert ks_exact.survival(steps - max(1, units // (2 * m)), n, m) > p_value
