"""Kernel MMD compared with the formulas written as loops, and in cases in which the peers' results are wrong."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist
from scipy.stats import binomtest

from harmgauge.drift import mmd

Array = npt.NDArray[np.floating]


def sample(rows: int, width: int = 5, seed: int = 0, shift: float = 0.0) -> Array:
    return np.random.default_rng(seed).normal(shift, 1, (rows, width))


def by_loops(reference: Array, recent: Array, scale: float) -> float:
    """Gretton et al. (2012), equation 3, one pair at a time."""

    def kernel(a: Array, b: Array) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * scale**2)))

    def within(rows: Array) -> float:
        return float(np.mean([kernel(a, b) for a, b in itertools.permutations(rows, 2)]))

    across = np.mean([kernel(a, b) for a in reference for b in recent])
    return within(reference) + within(recent) - 2 * float(across)


def p_value(reference: Array, recent: Array, seed: int = 0, permutations: int = 199) -> float:
    return mmd.permutation_test(reference, recent, permutations, np.random.default_rng(seed)).p_value


def test_statistic_is_the_mean_over_pairs() -> None:
    reference, recent = sample(12), sample(7, seed=1, shift=0.5)
    found = mmd.permutation_test(reference, recent, 10, np.random.default_rng(0), length_scale=1.3)
    assert found.statistic == pytest.approx(by_loops(reference, recent, 1.3), abs=1e-14)


def test_statistic_is_torchdrifts_but_for_its_constant() -> None:
    """TorchDrift keeps the kernel's diagonal of ones in the sums: 1 / (n - 1) + 1 / (m - 1) more, for every split."""
    reference, recent = sample(12), sample(7, seed=1, shift=0.5)
    together = np.concatenate([reference, recent])
    scale = float(np.median(pdist(together)))
    kernel = np.exp(-(cdist(together, together) ** 2) / (2 * scale**2))
    own, others, across = kernel[12:, 12:].sum(), kernel[:12, :12].sum(), kernel[:12, 12:].sum()
    theirs = own / (7 * 6) + others / (12 * 11) - 2 * across / (7 * 12)
    found = mmd.permutation_test(reference, recent, 10, np.random.default_rng(0))
    assert found.statistic == pytest.approx(theirs - 1 / 6 - 1 / 11, abs=1e-12)


def test_p_value_counts_all_splits() -> None:
    """Compared with all 70 ways to split eight rows, the observed one among them."""
    together = sample(8, width=2, seed=3)
    scale = float(np.median(pdist(together)))
    statistics = []
    for picked in itertools.combinations(range(8), 4):
        rest = [row for row in range(8) if row not in picked]
        statistics.append(by_loops(together[rest], together[list(picked)], scale))
    observed = by_loops(together[:4], together[4:], scale)
    exact = np.mean(np.array(statistics) >= observed - 1e-12)
    found = mmd.permutation_test(together[:4], together[4:], 20_000, np.random.default_rng(0), enough_exceeded=10**9)
    assert found.permutations == 20_000
    assert found.p_value == pytest.approx(exact, abs=0.015)


def test_distances_and_length_scale_are_scipys() -> None:
    rows = sample(30, width=7)
    squares = mmd.squared_distances(rows, rows)
    np.testing.assert_allclose(squares, cdist(rows, rows) ** 2, atol=1e-12)
    assert (np.diag(squares) == 0).all()
    assert mmd.median_length_scale(squares) == pytest.approx(np.median(pdist(rows)))


@pytest.mark.parametrize("offset", [0, 1e3, 1e5])
def test_offset_changes_nothing(offset: float) -> None:
    """Without centring, float32 distances at an offset of 1e5 are rounding errors, and the peers' p is arbitrary."""
    reference = (sample(200) + offset).astype(np.float32)
    same, other = (sample(50, seed=1) + offset).astype(np.float32), (sample(50, seed=1, shift=0.7) + offset)
    assert p_value(reference, same) > 0.1
    assert p_value(reference, other.astype(np.float32)) == 1 / 200
    plain = mmd.permutation_test(sample(200), sample(50, seed=1, shift=0.7), 1, np.random.default_rng(0)).statistic
    moved = mmd.permutation_test(reference, other, 1, np.random.default_rng(0)).statistic
    assert moved == pytest.approx(plain, rel=0.02)  # float32 keeps steps of 0.008 at 1e5


@pytest.mark.parametrize("row", [0, 5])
def test_an_outlier_in_the_reference_changes_little(row: int) -> None:
    reference, recent = sample(200), sample(50, seed=1, shift=1)
    reference[row] = 3e6
    assert p_value(reference, recent) == 1 / 200
    assert p_value(reference, sample(50, seed=2)) > 0.05


def test_constant_samples() -> None:
    """A reference of one point gives the kernel no width; the same point again is no drift, another one is."""
    constant = np.full((100, 4), 0.1)
    assert p_value(constant, constant[:30]) == 1
    assert p_value(constant, constant[:30] + 1e-3) == 1 / 200
    assert p_value(constant, sample(30, width=4)) == 1 / 200
    assert p_value(constant + 1e5, constant[:30] + 1e5) == 1


def test_ties_count_as_equal() -> None:
    """With only two values, most permutations give exactly the observed statistic."""
    reference, recent = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([[0.0], [1.0]], 10, axis=0)
    assert p_value(reference, recent) > 0.5
    assert p_value(reference, np.ones((20, 1))) <= 2 / 200


@pytest.mark.parametrize(("reference", "recent"), [((1, 3), (5, 3)), ((5, 3), (1, 3)), ((5, 3), (5, 2))])
def test_too_few_rows_or_other_widths_are_refused(reference: tuple[int, int], recent: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 rows each, of the same width"):
        p_value(np.zeros(reference), np.ones(recent))


@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 4), st.integers(0, 10**6))
def test_p_value_is_a_probability_above_0(n: int, m: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference, recent = random.integers(0, 3, (m, width)) / 1, random.integers(0, 3, (n, width)) / 1
    found = mmd.permutation_test(reference, recent, 50, random)
    assert 1 / 51 <= found.p_value <= 1
    assert found.statistic == pytest.approx(mmd.permutation_test(recent, reference, 1, random).statistic, abs=1e-12), (
        "the two samples may change places"
    )


def test_p_value_is_as_rare_as_it_says() -> None:
    """Without drift, p <= 0.1 occurs in a tenth of 400 tests, including those that end early."""
    small = sum(p_value(sample(40, seed=seed), sample(20, seed=seed + 1000), seed) <= 0.1 for seed in range(400))
    assert binomtest(small, 400, 0.1, alternative="two-sided").pvalue > 0.001


@pytest.mark.parametrize("shift", [0, 0.2, 0.4, 1, 4])
@pytest.mark.parametrize(("m", "n"), [(200, 90), (30, 20), (2, 100)])
def test_a_bound_changes_no_result(shift: float, m: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits that a bound excludes are below the observed one, so they need not be computed."""
    reference, recent = sample(m, width=3), sample(n, seed=1, shift=shift, width=3)
    results = []
    for many in (10**9, 1):
        monkeypatch.setattr(mmd, "MANY_PERMUTATIONS", many)
        results.append(mmd.permutation_test(reference, recent, 3000, np.random.default_rng(2), enough_exceeded=10**9))
    assert results[0] == results[1]


def test_a_bound_spares_nearly_all_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    exact = mmd.unbiased_mmd2

    def counting(kernel: mmd.Matrix, recent: mmd.Matrix) -> mmd.Matrix:
        computed.append(recent.shape[1])
        return exact(kernel, recent)

    monkeypatch.setattr(mmd, "unbiased_mmd2", counting)
    found = mmd.permutation_test(sample(300), sample(150, seed=1, shift=1), 9999, np.random.default_rng(0))
    assert found.p_value == 1 / 10_000
    assert sum(computed) == 1 + mmd.PERMUTATIONS_AT_ONCE


def test_only_small_p_values_draw_all_permutations() -> None:
    random = np.random.default_rng(0)
    assert mmd.permutation_test(sample(60), sample(20, seed=1), 1999, random).permutations < 1999
    assert mmd.permutation_test(sample(60), sample(20, seed=1, shift=2), 1999, random).permutations == 1999
