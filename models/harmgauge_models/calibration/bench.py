"""Calibration rows and all that is known of them, for the fit and for what judges it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.logistic import Float64
from harmgauge_models.calibration.observed import Observed, Observer, Run
from harmgauge_models.calibration.truth import Truth
from harmgauge_models.data.disturber import ByKind

CHUNK_ROWS = 1024
"""Are disturbed and run at once."""


@dataclass(frozen=True)
class Bench:
    """Clean rows `x` (n, *shape) with what is known of their classes, the fused graph, and what disturbs such rows.

    The graph can run `affordable` rows in the time that it may take. `what` names it for the progress.
    """

    observer: Observer
    disturber: ByKind
    x: Array
    truth: Truth
    affordable: int
    what: str

    def observe(
        self,
        run: Run,
        rows: npt.NDArray[np.intp],
        progress: tqdm[Any],
        disturb: Callable[[Array], Array] = lambda x: x,
    ) -> tuple[Observed, Float64]:
        """Disturbed copies of these `rows` (m,), and how likely each answer is to be wrong, (m,)."""
        parts = []
        for begin in range(0, len(rows), CHUNK_ROWS):
            parts.append(run(disturb(self.x[rows[begin : begin + CHUNK_ROWS]])))
            progress.update(len(parts[-1].logits))
        logits, predictions = (
            np.concatenate(column) for column in zip(*((part.logits, part.predictions) for part in parts), strict=True)
        )
        return Observed(logits, predictions), self.truth.wrong(predictions, rows)

    def progress(self, rows: int, with_what: str) -> tqdm[Any]:
        """A bar, if there is enough to do."""
        label = f"{self.what}: {with_what}"
        return tqdm(total=rows, desc=label, leave=False, unit=" rows", disable=rows < CHUNK_ROWS)
