"""The graphs' expected results, computed with the papers' formulas in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge_models.graphs.divergence import Loss

Float64 = npt.NDArray[np.float64]


def formula(first: Float64, second: Float64, loss: Loss, temperature: float) -> Float64:
    """The score of distributions y and y2, exactly as in the papers."""
    with np.errstate(divide="ignore"):
        log_y = np.log(first) / temperature
    y = np.exp(log_y - log_y.max(1, keepdims=True))
    y /= y.sum(1, keepdims=True)
    if loss == "kld":
        clipped, other = np.clip(y, 1e-7, 1), np.clip(second, 1e-7, 1)
        return np.asarray((clipped * np.log(clipped / other)).sum(1))
    other = np.clip(second / second.sum(1, keepdims=True), 1e-7, 1 - 1e-7)
    return np.asarray(-(y * np.log(other)).sum(1))


def softmax(logits: Float64) -> Float64:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
