"""P(wrong) from the logit of q: two numbers, fitted by logistic regression."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

SPREAD = 100.0
"""Of a normal prior on both numbers: none to speak of, and yet they stay finite if the rows can be told apart."""

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
    """The line of greatest likelihood for `targets` within 0..1, by Newton's method, halving steps that overshoot.

    All arrays are (n,).
    """
    x = np.stack([logits, np.ones_like(logits)])
    weights = weights / weights.mean()

    def loss(line: Float64) -> float:
        z = line @ x
        return float(weights @ (np.logaddexp(0, z) - targets * z) + 0.5 * line @ line / SPREAD**2)

    line = np.zeros(2)
    before = loss(line)
    for _ in range(MOST_STEPS):
        p = _sigmoid(line @ x)
        gradient = x @ (weights * (p - targets)) + line / SPREAD**2
        curvature = (x * (weights * p * (1 - p))) @ x.T + np.eye(2) / SPREAD**2
        step = np.linalg.solve(curvature, gradient)
        while (after := loss(line - step)) > before and np.abs(step).max() > CLOSE:
            step /= 2
        line = line - step
        if np.abs(step).max() <= CLOSE:
            break
        before = after
    return Line(float(line[0]), float(line[1]))


def _sigmoid(z: Float64) -> Float64:
    return np.asarray(0.5 * (1 + np.tanh(z / 2)))
