"""Statistics of other drift detectors, compared with scipy, with closed forms, and by what they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.spatial.distance import cdist, pdist

from harmgauge.bundle.load import Bundle
from harmgauge.drift.mmd import permutation_test
from harmgauge_models.evaluation import window_statistics, window_tests
from harmgauge_models.evaluation.delays import Group
from harmgauge_models.evaluation.plan import QUICK
from harmgauge_models.evaluation.window_statistics import LABELS, STATISTICS, Window, standardised
from harmgauge_models.evaluation.work import Work

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(150, 5)), RANDOM.normal(0.3, 1.2, size=(60, 5))
TIED = np.round(X, 1), np.round(Y, 1)


@pytest.mark.parametrize(("x", "y"), [(X, Y), TIED])
def test_ks_is_scipys_largest(
    x: np.ndarray[tuple[int, int], np.dtype[np.float64]], y: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> None:
    expected = max(stats.ks_2samp(a, b).statistic for a, b in zip(x.T, y.T, strict=True))
    assert window_statistics.ks(x)(Window(x, y)) == pytest.approx(expected)


def test_cramer_von_mises_is_scipys_largest() -> None:
    expected = max(
        stats.cramervonmises_2samp(a, b, method="asymptotic").statistic for a, b in zip(X.T, Y.T, strict=True)
    )
    assert window_statistics.cramer_von_mises(X)(Window(X, Y)) == pytest.approx(expected)


def statistic(name: str, x: window_statistics.Float64, y: window_statistics.Float64) -> float:
    return STATISTICS[name](x)(Window(x, y))


def test_constant_features_do_not_hide_a_change() -> None:
    """As features of a network often are, behind its rectifiers."""
    x, y = X.copy(), Y.copy()
    x[:, 0] = y[:, 0] = 0
    for name in ("ks", "cramer_von_mises"):
        assert statistic(name, x, y) == pytest.approx(statistic(name, x[:, 1:], y[:, 1:]))
        assert statistic(name, x[:, :1], y[:, :1]) == pytest.approx(0)
    pooled = np.concatenate(TIED)[:, 0]
    of_x, of_y = ((own[:, :1] <= pooled).mean(0) for own in TIED)
    expected = 150 * 60 / 210**2 * ((of_x - of_y) ** 2).sum()
    assert statistic("cramer_von_mises", TIED[0][:, :1], TIED[1][:, :1]) == pytest.approx(expected)


def test_energy_and_wasserstein_in_one_dimension_are_scipys() -> None:
    x, y = X[:, :1], Y[:, :1]
    unbiased = window_statistics.energy(x)(Window(x, y))
    n, m = len(x), len(y)
    biased = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert biased == pytest.approx(stats.energy_distance(x[:, 0], y[:, 0]) ** 2)
    assert unbiased == pytest.approx(
        2 * cdist(x, y).mean() - cdist(x, x).sum() / n / (n - 1) - cdist(y, y).sum() / m / (m - 1)
    )
    found = window_statistics.wasserstein(x)(Window(x, y))
    assert found == pytest.approx(np.sqrt(((np.sort(x[:60, 0]) - np.sort(y[:, 0])) ** 2).mean()))


def test_mmd_is_that_of_the_definition_and_close_to_feature_mmds() -> None:
    width = window_statistics._squared_width(X)
    kernel = np.exp(-cdist(np.vstack([X, Y]), np.vstack([X, Y]), "sqeuclidean") / width)
    within = [
        (part.sum() - len(part)) / len(part) / (len(part) - 1) for part in (kernel[:150, :150], kernel[150:, 150:])
    ]
    expected = sum(within) - 2 * kernel[:150, 150:].mean()
    assert window_statistics.mmd(X)(Window(X, Y)) == pytest.approx(expected)
    ours = permutation_test(X.astype(np.float32), Y.astype(np.float32), 20, np.random.default_rng(0))
    assert ours.statistic == pytest.approx(expected, rel=0.5, abs=0.02)


def test_partial_mmd_forgives_a_missing_half_but_not_strangers() -> None:
    """The reference has two clusters; a window of one of them is a part of it."""
    x = np.concatenate([RANDOM.normal(-3, 0.3, (80, 2)), RANDOM.normal(3, 0.3, (80, 2))])
    one = RANDOM.normal(3, 0.3, (60, 2))
    stranger = RANDOM.normal(0, 0.3, (60, 2))
    whole, part = window_statistics.mmd(x), window_statistics.partial_mmd(x)
    assert part(Window(x, one)) < 0.01
    assert whole(Window(x, one)) > 0.1
    assert part(Window(x, stranger)) > 5 * part(Window(x, one))


def test_partial_mmd_is_the_minimum_that_a_general_solver_finds() -> None:
    x, y = X[:16, :2], Y[:12, :2]
    width = window_statistics._squared_width(x)
    kernel, towards = np.exp(-cdist(x, x, "sqeuclidean") / width), np.exp(-cdist(x, y, "sqeuclidean") / width).mean(1)
    found = minimize(  # type: ignore[call-overload]  # its stubs want the types of lambdas
        lambda w: w @ kernel @ w - 2 * w @ towards,
        np.full(16, 1 / 16),
        jac=lambda w: 2 * kernel @ w - 2 * towards,
        bounds=[(0, 1 / 8)] * 16,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    of_window = np.exp(-pdist(y, "sqeuclidean") / width).mean()
    assert window_statistics.partial_mmd(x)(Window(x, y)) == pytest.approx(found.fun + of_window, abs=2e-3)


def test_lsdd_is_the_integral_of_the_squared_difference_of_its_model() -> None:
    """In one dimension the model's squared integral is computed numerically; the factor is that of all kernels."""
    x, y = X[:90, :1], Y[:, :1] + 1
    width = window_statistics._squared_width(x)
    grid = np.linspace(-12, 12, 40_001)
    centres = x[:, 0]
    kernels = np.exp(-((grid[:, None] - centres) ** 2) / width)
    factor = np.sqrt(np.pi * width / 2)  # the integral of a kernel's square
    overlap = kernels.T @ kernels * (grid[1] - grid[0]) / factor
    np.testing.assert_allclose(overlap, np.exp(-((centres[:, None] - centres) ** 2) / (2 * width)), atol=1e-6)
    h = np.exp(-cdist(x, x, "sqeuclidean") / width).mean(1) - np.exp(-cdist(x, y, "sqeuclidean") / width).mean(1)
    theta = np.linalg.solve(overlap + window_statistics.REGULARISATION * np.eye(90), h)
    expected = 2 * theta @ h - theta @ overlap @ theta
    assert window_statistics.lsdd(x)(Window(x, y)) == pytest.approx(expected, rel=1e-4)


def test_pca_finds_a_change_along_the_main_direction() -> None:
    x = RANDOM.normal(size=(200, 20)) * 0.1
    x[:, 0] += RANDOM.normal(0, 5, 200)
    y = x[:80].copy()
    y[:, 0] += 6
    assert window_statistics.pca_ks(x)(Window(x, y)) > 0.4


@pytest.mark.parametrize("name", STATISTICS)
def test_a_shift_is_larger_than_chance_and_reference_rows_are_not(name: str) -> None:
    assert name in LABELS
    statistic = STATISTICS[name](X)
    chance = [statistic(Window(X, RANDOM.normal(size=(60, 5)))) for _ in range(20)]
    assert statistic(Window(X, RANDOM.normal(size=(60, 5)) + 1.5)) > max(chance)
    assert statistic(Window(X, X[:60])) < max(chance)


def test_constant_features_do_not_matter() -> None:
    reference = np.column_stack([X, np.ones(len(X))]).astype(np.float32)
    scaled = standardised(reference)(reference)
    assert (scaled[:, -1] == 0).all()
    np.testing.assert_allclose(scaled[:, :-1].std(0), 1, rtol=1e-5)


def test_the_delay_is_that_of_independent_windows() -> None:
    assert window_tests.mean_rows(1, 20_000) == 100
    assert window_tests.mean_rows(0, 20_000) == 20_000
    lengths = np.minimum(np.random.default_rng(0).geometric(0.02, 200_000), 50) * 100
    assert window_tests.mean_rows(0.02, 5000) == pytest.approx(lengths.mean(), rel=0.01)


def test_clean_windows_alarm_at_the_rate_and_changed_ones_more(image_bundle: Bundle, tmp_path: Path) -> None:
    random, reference = np.random.default_rng(0), image_bundle.reference.features
    assert reference is not None
    features = reference[random.integers(len(reference), size=3000)] + random.normal(
        0, 1e-2, (3000, reference.shape[1])
    )
    clean = Group(np.zeros(3000), features.astype(np.float32))
    shifted = Group(np.zeros(3000), (features + features.std(0)).astype(np.float32))
    found = window_tests.window_tests(
        image_bundle, clean, {"harmful": shifted, "harmless": clean}, QUICK, Work(tmp_path), seed=0
    )
    assert set(found) == set(STATISTICS)
    for groups in found.values():
        assert groups["harmful"]["0.5"]["power"] >= groups["harmful"]["0.1"]["power"]
        assert groups["harmless"]["0.5"]["power"] < 0.15
    assert found["mmd"]["harmful"]["0.5"]["mean_rows"] < 200
