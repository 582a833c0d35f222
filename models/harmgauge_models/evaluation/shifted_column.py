"""How soon the one shifted column of a table is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Array
from harmgauge.drift.columns import columns
from harmgauge.drift.columns.columns import Columns
from harmgauge.drift.state import Blocks
from harmgauge.settings import Settings
from harmgauge_models.data.served_rows import served_rows
from harmgauge_models.evaluation.cause_trials import Trials
from harmgauge_models.evaluation.plan import ROWS_BETWEEN_FALSE_ALARMS
from harmgauge_models.evaluation.work import sha256_of

SHIFT = 0.5
"""Standard deviations by which a column is shifted."""

MOST_COLUMNS = 20
"""Columns of numbers that are shifted, one at a time: the first ones."""

STEP_ROWS = 5
"""Rows between two evaluations."""

Float64 = npt.NDArray[np.float64]


def shifted_column_table(trials: Trials, x: Array, predictions: npt.NDArray[np.int64]) -> dict[str, Any] | None:
    """For each of MOST_COLUMNS columns of the clean rows `x`, with their predicted classes (n,), the rows until it is
    named; None without a column of numbers. Measures of pictures are no such columns.
    """
    bundle = trials.bundle
    if bundle.sketches is None or not len(bundle.sketches.numbers):
        return None
    monitor = _monitor(bundle, 0)
    if not monitor.values.reads_rows:
        return None
    values = monitor.values([served_rows(x, bundle.manifest.served)], [predictions])
    decided_by = {"columns": bundle.manifest.files[bundle.manifest.columns or ""].sha256, "rows": sha256_of(values)}
    found = {}
    for column in tqdm([None, *bundle.sketches.numbers[:MOST_COLUMNS].tolist()], desc="one column"):

        def run(seed: int, column: int | None = column) -> tuple[int, bool, int]:
            random = np.random.default_rng((seed, 1))
            return _until_named(_monitor(bundle, seed), values, column, trials.most_rows, random)

        name = f"column-{'clean' if column is None else column}"
        found[None if column is None else monitor.names[column]] = trials.table(name, decided_by, "named_first", run)
    clean = found.pop(None)
    return {"shift": SHIFT, "names_if_clean": clean["other_names"], "by_column": found}


def _monitor(bundle: Bundle, seed: int) -> Columns:
    found = columns.from_bundle(bundle, Settings(rows_between_false_alarms=ROWS_BETWEEN_FALSE_ALARMS), seed=seed)
    assert found is not None
    return found


def _until_named(
    monitor: Columns, values: Float64, column: int | None, most_rows: int, random: np.random.Generator
) -> tuple[int, bool, int]:
    """Rows until the shifted column is named, whether before all others, and the number of other names; without a
    column, of clean rows.
    """
    shift = np.zeros(values.shape[1])
    if column is not None:
        shift[column] = SHIFT * np.nanstd(values[:, column])
    rows, is_first, named = 0, False, set[int]()
    while rows < most_rows and column not in named:
        drawn = values[random.integers(0, len(values), STEP_ROWS)] + shift
        blocks = Blocks.of(np.zeros(STEP_ROWS), 1)
        monitor.observe(Blocks(blocks.scores, blocks.rows, blocks.clients, values=drawn))
        rows += STEP_ROWS
        is_first = not named
        named = set(np.flatnonzero(monitor.view().marks.is_named).tolist())
    return rows, is_first, len(named - {column})
