"""The fused graph's answers to rows, and the logits that determine P(wrong)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.logistic import Float64
from harmgauge_models.graphs.error_probability import LOGIT, give_logit
from harmgauge_models.graphs.run import open_session, run_batches

BATCH_ROWS = 256
TIMED_ROWS = 32


@dataclass(frozen=True)
class Observed:
    """For n rows: the `logits` of q (n,), NaN if the graph returns none, and the `predictions` (n,).

    For several second networks, `logits` are those of each, (networks, n).
    """

    logits: Float64
    predictions: npt.NDArray[np.intp]


class Observer:
    """An open session of the fused graph."""

    def __init__(self, graph: bytes) -> None:
        """Raises UserError if the graph has no second network."""
        self._session = open_session(give_logit(graph))

    def __call__(self, x: Array) -> Observed:
        """Run rows `x` (n, *shape). Raises UserError."""
        probabilities, logits = self.probabilities(x)
        return Observed(logits, probabilities.argmax(1))

    def probabilities(self, x: Array) -> tuple[Float64, Float64]:
        """The classifier's probabilities (n, classes) and the logits of q (n,). Raises UserError."""
        names = ["probabilities", LOGIT]
        found = run_batches(self._session, names, x, "the graph cannot run on calibration rows", BATCH_ROWS)
        probabilities, logits = (values.astype(np.float64) for values in found)
        # The service rejects a row without finite outputs, so it has no logit.
        bad = ~np.isfinite(probabilities).all(1) | np.isnan(logits[:, 0])
        return np.nan_to_num(probabilities), np.where(bad, np.nan, logits[:, 0])

    def seconds_per_row(self, x: Array) -> float:
        """Approximate CPU time per row on one core, not counting other work on the machine."""
        few = x[:TIMED_ROWS]
        self(few)
        began = time.process_time()
        self(few)
        return max((time.process_time() - began) / len(few), 1e-9)


Run = Callable[[Array], Observed]
"""Runs rows (n, *shape) through a graph."""
