"""Logistic regression of P(wrong) on the logit of q and any further columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

SPREAD = 100.0
"""Standard deviation of the normal prior on both numbers: wide, but keeps them finite if the rows are separable."""

MOST_STEPS = 100
CLOSE = 1e-10


class Line(NamedTuple):
    """P(wrong) = sigmoid(slope x logit q + intercept)."""

    slope: float
    intercept: float

    def __call__(self, logits: Float64) -> Float64:
        """P(wrong) of rows with these logits of q, (n,)."""
        return _sigmoid(self.slope * logits + self.intercept)


def fit(logits: Float64, targets: Float64, weights: Float64) -> Line:
    """The maximum-likelihood line for `targets` within 0..1. All arrays are (n,)."""
    x = np.stack([logits, np.ones_like(logits)])
    slope, intercept = regress(x, targets, weights, np.full(2, SPREAD))
    return Line(float(slope), float(intercept))


def regress(x: Float64, targets: Float64, weights: Float64, spreads: Float64) -> Float64:
    """The coefficients (k,) with the highest posterior density for columns `x` (k, n) and `targets` (n,) within 0..1.

    Each has a normal prior with one of the `spreads` (k,). Uses Newton's method, and halves steps that overshoot.
    """
    weights = weights / weights.mean()

    def loss(found: Float64) -> float:
        z = found @ x
        return float(weights @ (np.logaddexp(0, z) - targets * z) + 0.5 * ((found / spreads) ** 2).sum())

    found = np.zeros(len(x))
    before = loss(found)
    for _ in range(MOST_STEPS):
        p = _sigmoid(found @ x)
        gradient = x @ (weights * (p - targets)) + found / spreads**2
        curvature = (x * (weights * p * (1 - p))) @ x.T + np.diag(1 / spreads**2)
        step = np.linalg.solve(curvature, gradient)
        while (after := loss(found - step)) > before and np.abs(step).max() > CLOSE:
            step /= 2
        found = found - step
        if np.abs(step).max() <= CLOSE:
            break
        before = after
    return found


def _sigmoid(z: Float64) -> Float64:
    return np.asarray(0.5 * (1 + np.tanh(z / 2)))
