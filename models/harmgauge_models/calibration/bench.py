"""Calibration rows and everything known about them, for fitting P(wrong) and for judging it."""

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
"""Rows that are disturbed and run together."""


@dataclass(frozen=True)
class Bench:
    """Clean rows `x` (n, *shape) with what is known about their classes, the fused graph, and a disturber of such rows.

    The graph can run `affordable` rows within its time limit. `what` names it in the progress bar.
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
        disturb: Callable[[Array, slice], Array] = lambda x, _: x,
    ) -> tuple[Observed, Float64]:
        """Run disturbed copies of these `rows` (m,); returns the observations, and the probability that each answer is
        wrong, (m,).

        `disturb` receives some of the clean rows, and their slice of the m rows.
        """
        parts = []
        for begin in range(0, len(rows), CHUNK_ROWS):
            part = slice(begin, begin + CHUNK_ROWS)
            parts.append(run(disturb(self.x[rows[part]], part)))
            progress.update(len(parts[-1].predictions))
        logits = np.concatenate([part.logits for part in parts], axis=-1)
        predictions = np.concatenate([part.predictions for part in parts])
        return Observed(logits, predictions), self.truth.wrong(predictions, rows)

    def progress(self, rows: int, with_what: str) -> tqdm[Any]:
        """A progress bar, if there is enough work for one."""
        label = f"{self.what}: {with_what}"
        return tqdm(total=rows, desc=label, leave=False, unit=" rows", disable=rows < CHUNK_ROWS)
