"""Rows with the estimate of each method, and whether the classifier is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge_models.evaluation.labels import Labels

Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Folds = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """For m rows, (m,) each: whether the classifier is `right`, the bundle's `scores`, the true classes `labels`, and
    the `folds` (0 or 1).

    For each method, `by_method` has numbers whose mean over any rows is the method's estimate of the accuracy.
    `probabilities` (m, classes) are the classifier's, if they were kept.
    """

    right: npt.NDArray[np.bool_]
    scores: Float64
    labels: Labels
    folds: Folds
    by_method: dict[str, Float64]
    probabilities: npt.NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.right)

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def error_probability(self) -> Float64:
        return 1 - self.by_method["error_probability"]

    def estimate(self, method: str = "error_probability") -> float:
        """The method's estimate of the accuracy."""
        return float(self.by_method[method].mean())

    def take(self, rows: npt.NDArray[Any]) -> Judged:
        """The selected rows, by index or mask."""
        return Judged(
            self.right[rows],
            self.scores[rows],
            self.labels[rows],
            self.folds[rows],
            {method: values[rows] for method, values in self.by_method.items()},
            None if self.probabilities is None else self.probabilities[rows],
        )


def together(parts: Sequence[Judged]) -> Judged:
    """The concatenated rows of all `parts`."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Judged(
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.folds for part in parts]),
        {method: np.concatenate([part.by_method[method] for part in parts]) for method in parts[0].by_method},
        np.concatenate(probabilities) if len(probabilities) == len(parts) else None,
    )
