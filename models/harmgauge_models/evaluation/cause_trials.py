"""The trials of named causes: what they have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge_models.evaluation.plan import ROWS_BETWEEN_FALSE_ALARMS, Plan
from harmgauge_models.evaluation.work import Arrays, Work

Run = Callable[[int], tuple[int, bool, int]]
"""Maps a seed to the rows until the cause is named, a fact about that name, and the number of other names."""


@dataclass(frozen=True)
class Trials:
    """Streams in which one source, or one column, changes; a stream ends after `most_rows` at the latest."""

    bundle: Bundle
    plan: Plan
    work: Work
    seed: int

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.plan.cause_streams)

    @property
    def most_rows(self) -> int:
        return self.plan.most_cause_rows

    def table(self, name: str, decided_by: dict[str, Any], fact: str, run: Run) -> dict[str, Any]:
        """The results of `run` for all seeds, stored under `name`: the median of the rows, the number of streams with
        the name, that of those in which the `fact` is true, and the number of other names.
        """

        def make() -> Arrays:
            runs = np.array([run(seed) for seed in self.seeds])
            return dict(zip(("rows", "fact", "others"), runs.T, strict=True))

        streams = [self.plan.cause_streams, self.seed, self.most_rows, ROWS_BETWEEN_FALSE_ALARMS]
        runs = self.work.kept(f"causes/{self.work.file_name(name)}", decided_by | {"streams": streams}, make)
        is_named: npt.NDArray[np.bool_] = runs["rows"] < self.most_rows
        return {
            "median_rows": float(np.median(runs["rows"])),
            "named": int(is_named.sum()),
            fact: int(runs["fact"][is_named].sum()),
            "other_names": int(runs["others"].sum()),
        }
