"""Methods from the literature that estimate accuracy on rows without labels.

Mean confidence; CBPE, the mean of a calibrated confidence (NannyML's confidence-based performance estimation); ATC
(Garg et al., Leveraging unlabeled data to predict out-of-distribution performance, ICLR 2022); COT (Lu et al.,
Characterizing out-of-distribution error via optimal transport, NeurIPS 2023); and the accuracy on clean rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.isotonic import IsotonicRegression

from harmgauge_models.evaluation.accuracy.judged import Float64, Folds, Judged
from harmgauge_models.evaluation.labels import Labels
from harmgauge_models.evaluation.measure import Measured

METHODS = {
    "error_probability": "harmgauge",
    "clean_accuracy": "accuracy on clean rows",
    "mean_confidence": "mean confidence",
    "cbpe": "CBPE",
    "atc": "ATC",
    "cot": "COT",
}
"""Ways to estimate accuracy, by their names in `quality.json`."""

MOST_TRANSPORTED_ROWS = 500
"""Number of random rows from each fold of a set that COT uses: its cost grows at least with the square of their
number.
"""


@dataclass(frozen=True)
class Baseline:
    """Baselines fitted on labelled clean rows: their `accuracy`, a calibration of confidence, the entropy above which
    ATC counts an answer as wrong, and the share of each class (classes,).
    """

    accuracy: float
    calibration: IsotonicRegression
    most_entropy: float
    class_shares: Float64

    @classmethod
    def fit(
        cls, confidence: Float64, entropy: Float64, right: npt.NDArray[np.bool_], labels: Labels, classes: int
    ) -> Baseline:
        """Fit to `confidence`, `entropy`, `right` and `labels` (n,), n >= 1."""
        calibration = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        calibration.fit(confidence, right.astype(np.float64))
        accuracy = float(right.mean())
        shares = np.bincount(labels, minlength=classes) / len(labels)
        return cls(accuracy, calibration, _quantile(entropy, accuracy), shares)

    def by_method(self, confidence: Float64, entropy: Float64) -> dict[str, Float64]:
        """The estimate for each row, (n,), by each of METHODS except COT and harmgauge's own."""
        return {
            "clean_accuracy": np.full(len(confidence), self.accuracy),
            "mean_confidence": confidence,
            "cbpe": np.asarray(self.calibration.predict(confidence), np.float64),
            "atc": (entropy <= self.most_entropy).astype(np.float64),
        }


@dataclass(frozen=True)
class CrossFitted:
    """Two baselines: the rows of each fold are judged by the baseline that was fitted on the other."""

    by_fold: tuple[Baseline, Baseline]

    @classmethod
    def fit(cls, clean: Measured, labels: Labels, folds: Folds, classes: int) -> CrossFitted:
        """Fit on the clean rows (n,), which are divided into the `folds` 0 and 1."""
        confidence, right = 1 - clean.scores["doubt"], clean.predictions == labels
        zero, one = (
            Baseline.fit(confidence[own], clean.scores["entropy"][own], right[own], labels[own], classes)
            for own in (folds == 1, folds == 0)
        )
        return cls((zero, one))

    def judged(self, measured: Measured, labels: Labels, folds: Folds) -> Judged:
        """One copy of the rows, with all estimates. The bundle must have an error probability."""
        assert measured.error_probability is not None
        zero, one = (
            baseline.by_method(1 - measured.scores["doubt"], measured.scores["entropy"]) for baseline in self.by_fold
        )
        own = {"error_probability": 1 - measured.error_probability.astype(np.float64)}
        return Judged(
            measured.predictions == labels,
            measured.scores["score"],
            labels,
            folds,
            own | {method: np.where(folds == 0, zero[method], one[method]) for method in zero},
            measured.probabilities,
        )

    def cot(self, rows: Judged, *, seed: int) -> float:
        """The accuracy estimated by COT. The rows must have the classifier's probabilities."""
        assert rows.probabilities is not None
        order = np.random.default_rng(seed).permutation(len(rows))
        total = 0.0
        for fold, baseline in enumerate(self.by_fold):
            own = order[rows.folds[order] == fold]
            if len(own):
                some = rows.probabilities[own[:MOST_TRANSPORTED_ROWS]]
                total += len(own) * (1 - transport_cost(some, baseline.class_shares))
        return total / len(rows)


def transport_cost(probabilities: npt.NDArray[np.floating], class_shares: Float64) -> float:
    """Minimum mean cost of moving `probabilities` (n, classes) to labels with the shares `class_shares` (classes,),
    which is COT's estimate of the share of wrong answers.

    A row costs 1 - its probability of the assigned label, which is the largest difference between the two.
    """
    n = len(probabilities)
    ends = np.rint(np.cumsum(class_shares) * n).astype(int)
    labels = np.repeat(np.arange(len(class_shares)), np.diff(ends, prepend=0))
    cost = (1 - probabilities.astype(np.float64))[:, labels]
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def _quantile(values: Float64, share: float) -> float:
    """The value at or below which `share` of the values lie; if `share` is too small for any value, -1, which is below
    all of them.
    """
    below = round(share * len(values))
    return float(np.sort(values)[below - 1]) if below else -1.0
