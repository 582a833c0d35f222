"""The class of each calibration row: from its label or, without labels, from probabilities based on the stated
accuracy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge_models.calibration.logistic import Float64

LEAST = 1e-4
"""Lower bound of probabilities: some classifiers output 0 and 1, and are wrong nevertheless."""

COLDEST, HOTTEST = 1e-6, 1e3
"""Bounds of the search for the temperature that matches the stated accuracy."""


class Truth:
    """The probability of each class for n rows, (n, classes)."""

    def __init__(self, chances: npt.NDArray[np.floating]) -> None:
        self._chances = chances

    def wrong(self, predictions: npt.NDArray[np.intp], rows: npt.NDArray[np.intp]) -> Float64:
        """The probability that each of `predictions` (m,) for copies of these `rows` (m,) is wrong, (m,)."""
        return np.asarray(1.0 - self._chances[rows, predictions], np.float64)


def labelled(y: npt.NDArray[np.int64], classes: int) -> Truth:
    """The classes are known: `y` (n,)."""
    chances = np.zeros((len(y), classes), np.float32)
    chances[np.arange(len(y)), y] = 1
    return Truth(chances)


def stated(probabilities: Float64, accuracy: float) -> Truth:
    """The truth from the classifier's probabilities for the undisturbed rows (n, classes), at the temperature at which
    their mean confidence equals the stated accuracy.

    So a changed answer may be right if the unchanged one was wrong. At an accuracy of 1, the unchanged answers are the
    truth.
    """
    logs = np.log(np.clip(probabilities, LEAST, 1))

    def tempered(temperature: float) -> Float64:
        scaled = logs / temperature
        powers = np.exp(scaled - scaled.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))

    low, high = np.log(COLDEST), np.log(HOTTEST)
    for _ in range(60):
        middle = (low + high) / 2
        if tempered(np.exp(middle)).max(1).mean() > accuracy:
            low = middle
        else:
            high = middle
    return Truth(tempered(np.exp((low + high) / 2)))
