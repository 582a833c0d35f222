"""What the literature estimates accuracy by, without labels of the rows in question.

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

from harmgauge_models.evaluation.accuracy.judged import Float64, Judged

METHODS = {
    "error_probability": "harmgauge",
    "clean_accuracy": "accuracy on clean rows",
    "mean_confidence": "mean confidence",
    "cbpe": "CBPE",
    "atc": "ATC",
    "cot": "COT",
}
"""Ways to estimate accuracy, by their names in `quality.json`."""

MOST_TRANSPORTED_ROWS = 1000
"""Of a set, drawn at random, for COT: its cost grows with their square and more."""


@dataclass(frozen=True)
class Baselines:
    """Fitted on labelled clean rows: their `accuracy`, a calibration of confidence, the entropy above which ATC takes
    an answer for wrong, and the share of each class (classes,).
    """

    accuracy: float
    calibration: IsotonicRegression
    most_entropy: float
    class_shares: Float64

    @classmethod
    def fit(cls, clean: Judged, classes: int) -> Baselines:
        calibration = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        calibration.fit(clean.confidence, clean.right.astype(np.float64))
        shares = np.bincount(clean.labels, minlength=classes) / len(clean)
        return cls(clean.accuracy, calibration, _quantile_of(clean.entropy, clean.accuracy), shares)

    def estimates(self, rows: Judged) -> dict[str, float]:
        """The accuracy by each of METHODS but COT."""
        return {
            "error_probability": rows.estimate,
            "clean_accuracy": self.accuracy,
            "mean_confidence": float(rows.confidence.mean()),
            "cbpe": float(self.calibration.predict(rows.confidence).mean()),
            "atc": float((rows.entropy <= self.most_entropy).mean()),
        }

    def cot(self, rows: Judged, *, seed: int) -> float:
        """The accuracy by COT. The rows come with the classifier's probabilities."""
        assert rows.probabilities is not None
        some = np.random.default_rng(seed).permutation(len(rows))[:MOST_TRANSPORTED_ROWS]
        return 1 - transport_cost(rows.probabilities[some], self.class_shares)


def transport_cost(probabilities: npt.NDArray[np.floating], class_shares: Float64) -> float:
    """Least mean cost of bringing `probabilities` (n, classes) to labels of which `class_shares` (classes,) are each
    class's: COT's estimate of the share of wrong answers. A row costs 1 - its probability of the label it gets, which
    is the largest difference between the two.
    """
    n = len(probabilities)
    ends = np.rint(np.cumsum(class_shares) * n).astype(int)
    labels = np.repeat(np.arange(len(class_shares)), np.diff(ends, prepend=0))
    cost = (1 - probabilities.astype(np.float64))[:, labels]
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def _quantile_of(values: Float64, share: float) -> float:
    """The value at or below which `share` of them lie; less than all of them if that is none."""
    below = round(share * len(values))
    return float(np.sort(values)[below - 1]) if below else -1.0
