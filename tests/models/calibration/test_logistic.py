"""The fit compared with scipy, and cases in which only its prior keeps it finite."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from harmgauge_models.calibration.kappa import fit_balanced
from harmgauge_models.calibration.logistic import fit


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_a_general_optimiser_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(3, 4, 400)
    targets, weights = random.random(400), random.exponential(1, 400)
    if seed % 2:
        targets = (random.random(400) < 1 / (1 + np.exp(0.8 * x - 1))).astype(float)

    def loss(line: np.ndarray) -> float:
        z = line[0] * x + line[1]
        return float(weights @ (np.logaddexp(0, z) - targets * z) / weights.sum())

    best = minimize(loss, np.zeros(2), tol=1e-12).x
    np.testing.assert_allclose(fit(x, targets, weights), best, atol=2e-4)


def test_with_one_value_of_the_logit_the_mean_is_the_target() -> None:
    """The closed form: only the weighted mean can be fitted."""
    x, targets, weights = np.full(4, 2.0), np.array([1.0, 0, 0, 0.5]), np.array([1.0, 1, 2, 4])
    line = fit(x, targets, weights)
    np.testing.assert_allclose(line(x), 3 / 8, atol=1e-4)


def test_two_points_are_met_exactly() -> None:
    """Shares of .2 and .7 at logits of 3 and -1: the line passes through both."""
    line = fit(np.array([3.0, -1.0]), np.array([0.2, 0.7]), np.ones(2))
    np.testing.assert_allclose(line(np.array([3.0, -1.0])), [0.2, 0.7], atol=1e-3)
    assert line.slope == pytest.approx((np.log(0.2 / 0.8) - np.log(0.7 / 0.3)) / 4, rel=1e-2)


def test_rows_that_can_be_told_apart_leave_it_finite() -> None:
    line = fit(np.array([-13.8, -13.8, 13.8, 13.8]), np.array([1.0, 1, 0, 0]), np.ones(4))
    assert np.isfinite(line).all()
    assert line(np.array([-13.8]))[0] > 0.999
    assert line(np.array([13.8]))[0] < 0.001


def test_clean_rows_weigh_as_much_as_all_others() -> None:
    """At one logit, half of the weight is on 0 and half on 1, however many rows either has."""
    line = fit_balanced(np.zeros(10), np.zeros(10), [(np.zeros(500), np.ones(500)), (np.zeros(70), np.ones(70))])
    assert line(np.zeros(1))[0] == pytest.approx(0.5, abs=1e-4)
