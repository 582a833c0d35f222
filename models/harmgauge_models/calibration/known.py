"""The calibration rows, and everything known about their classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.logistic import Float64
from harmgauge_models.calibration.truth import Truth, labelled, stated
from harmgauge_models.errors import UserError

MIN_ROWS = 200
"""With 100 rows, the estimate is off by .034 on disturbed rows and .017 on clean ones (root mean square)."""


@dataclass(frozen=True)
class Known:
    """Calibration rows `x` (n, *shape), and what is known about their classes: the labels `y` (n,), or the stated
    `accuracy` of the classifier on such rows; both are None if nothing is known.
    """

    x: Array
    y: npt.NDArray[np.int64] | None
    accuracy: float | None = None

    @property
    def missing(self) -> str | None:
        """The reason why accuracy cannot be estimated, with the remedy; None if it can."""
        if self.y is None and self.accuracy is None:
            return (
                "the calibration rows have no labels, and the classifier's accuracy is unknown: save y beside x, or "
                "state the accuracy on such rows with --accuracy"
            )
        if len(self.x) < MIN_ROWS:
            return f"expected at least {MIN_ROWS} calibration rows (5000 are good), got {len(self.x)}"
        return None

    @property
    def is_enough(self) -> bool:
        return self.missing is None

    def truth(self, rows: npt.NDArray[np.intp], probabilities: Float64) -> Truth:
        """The truth about these `rows` (m,), for which the classifier returns `probabilities` (m, classes)."""
        if self.y is not None:
            return labelled(self.y[rows], probabilities.shape[1])
        assert self.accuracy is not None
        return stated(probabilities, self.accuracy)


def check_accuracy(accuracy: float | None, y: npt.NDArray[np.int64] | None = None) -> None:
    """Raises UserError if `--accuracy` is not a valid accuracy, or if the rows have labels, which already determine
    it.
    """
    if accuracy is None:
        return
    if not 0 < accuracy <= 1:
        raise UserError(f"--accuracy {accuracy}: expected a share above 0 and at most 1, such as 0.93")
    if y is not None:
        raise UserError("--accuracy is for calibration rows without labels, but these have y: leave it out")
