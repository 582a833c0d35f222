"""Computes the threshold, if the scores allow one."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harmgauge_models.errors import UserError

ALIKE = 1e-6
"""Two networks whose probabilities differ by no more than this on any row are considered equal, up to rounding."""


def threshold_of(scores: npt.NDArray[np.float64], percentile: float) -> float:
    """The percentile of calibration scores (n,), in float32, because the service compares scores in float32.

    Raises UserError if it is the largest of few distinct values, so that no score could exceed it.
    """
    threshold = float(np.float32(np.percentile(scores, percentile)))
    if percentile == 100 or (scores.astype(np.float32) > threshold).any():
        return threshold
    below = float((scores.astype(np.float32) < np.float32(scores.max())).mean())
    values = len(np.unique(scores.astype(np.float32)))
    largest = f"{1 - below:.1%} of the calibration rows have the largest score, {scores.max():.4g}"
    least = math.floor(1000 * below) / 10
    lower = f"lower --percentile to {least:g} or less, or " if least >= 50 else ""
    raise UserError(
        f"nothing could be flagged: {largest} (of {values} distinct ones), and none exceeds percentile "
        f"{percentile:g}: {lower}use a second network with finer probabilities"
    )


def check_distinct(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> None:
    """Raise UserError if two networks' distributions (n, classes) are equal for all rows."""
    if np.abs(first - second).max() <= ALIKE:
        raise UserError(
            "the classifier and the second network give the same probabilities for every calibration row, so every "
            "score would be 0: are they the same network? Name another with --distilled, or train one with --train"
        )
