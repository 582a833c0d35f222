"""Rows with all that an estimate of accuracy goes by, and whether the classifier is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge_models.evaluation.labels import Labels
from harmgauge_models.evaluation.measure import Measured

Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Judged:
    """Of m rows, (m,) each: `error_probability`, `right`, the classifier's `confidence` and `entropy`, the bundle's
    `scores`, the true classes `labels`; the classifier's `probabilities` (m, classes) if they were kept.
    """

    error_probability: Float64
    right: npt.NDArray[np.bool_]
    confidence: Float64
    entropy: Float64
    scores: Float64
    labels: Labels
    probabilities: npt.NDArray[np.float32] | None

    @classmethod
    def of(cls, measured: Measured, labels: Labels) -> Judged:
        """All rows of one copy; `labels` (m,). The bundle gives an error probability."""
        assert measured.error_probability is not None
        return cls(
            measured.error_probability.astype(np.float64),
            measured.predictions == labels,
            1 - measured.scores["doubt"],
            measured.scores["entropy"],
            measured.scores["score"],
            labels,
            measured.probabilities,
        )

    def __len__(self) -> int:
        return len(self.right)

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def estimate(self) -> float:
        """The accuracy by the mean error probability."""
        return float(1 - self.error_probability.mean())

    def take(self, rows: npt.NDArray[Any]) -> Judged:
        """Some of the rows, by index or mask."""
        return Judged(
            self.error_probability[rows],
            self.right[rows],
            self.confidence[rows],
            self.entropy[rows],
            self.scores[rows],
            self.labels[rows],
            None if self.probabilities is None else self.probabilities[rows],
        )


def together(parts: Sequence[Judged]) -> Judged:
    """The rows of all `parts`, one after the other."""
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Judged(
        np.concatenate([part.error_probability for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.entropy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(probabilities) if len(probabilities) == len(parts) else None,
    )
