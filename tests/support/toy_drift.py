"""A drift detector in one file, and the line that adds it: `python -m tests.support.toy_drift serve`.

It raises an alarm while the mean of the newest 50 scores is above the reference's highest score.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.cli.main import main
from harmgauge.drift.from_bundle import DETECTORS
from harmgauge.drift.state import Blocks, DriftState, State
from harmgauge.drift.window import Window
from harmgauge.settings import Settings

WINDOW_ROWS = 50


class MeanScore:
    name = "mean_score"
    gauges: ClassVar[Mapping[str, str]] = {"drift_lowest_score": "The lowest score in the window."}

    def __init__(self, reference: npt.NDArray[np.float64]) -> None:
        self._reference = reference
        self._state: State = "warming"
        self.reset()

    def observe(self, blocks: Blocks) -> None:
        self._window.extend(blocks.scores)

    async def state(self) -> DriftState:
        scores, limit = self._window.snapshot(), float(self._reference[-1])
        is_full = len(scores) == WINDOW_ROWS
        state: State = "warming" if not is_full else "drifting" if scores.mean() > limit else "ok"
        if state != self._state:
            self._state, self._since = state, datetime.now(UTC)
        return DriftState(
            state=state,
            p_value=None,
            statistic=float(scores.mean()) if is_full else None,
            threshold=limit,
            window_rows=WINDOW_ROWS,
            rows=len(scores),
            reference_rows=len(self._reference),
            rows_between_false_alarms=1000,
            since=self._since,
            total_rows=self._window.total,
            details={"highest_score": float(scores.max()) if is_full else None},
            gauges={"drift_lowest_score": float(scores.min())} if is_full else {},
        )

    def reset(self) -> None:
        self._window = Window(WINDOW_ROWS)
        self._state = "warming"
        self._since = datetime.now(UTC)

    @property
    def version(self) -> int:
        return self._window.total

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {"scores": self._window.snapshot()}

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        self._window.extend(dumped["scores"])


def from_bundle(bundle: Bundle, _: Settings) -> MeanScore:
    return MeanScore(bundle.reference.scores)


if __name__ == "__main__":
    DETECTORS.append(from_bundle)
    sys.exit(main())
