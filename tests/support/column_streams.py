"""Columns with a reference, and streams of rows for them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import ColumnValues
from harmgauge.bundle.inputs import Column
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge.bundle.sketches import Sketches
from harmgauge.drift.columns.columns import Columns
from harmgauge.drift.state import Blocks
from harmgauge.observe.column_buffer import ColumnBuffer
from harmgauge_models.calibration.sketches import sketches_of

Float64 = npt.NDArray[np.float64]

FILE = Path("columns.npz")


def columns_of(
    reference: Float64,
    predictions: npt.NDArray[np.int64] | None = None,
    *,
    missing: bool = False,
    classes: int = 1,
    between: int = 1_000_000,
    tolerance: float = 0.01,
    seed: int = 0,
    names: tuple[str, ...] = (),
) -> Columns:
    """The monitor of columns with this reference (n, c)."""
    own = np.zeros(len(reference), np.int64) if predictions is None else predictions
    row = row_columns(reference.shape[1], missing=missing, names=names)
    return monitor(
        sketches_of(reference, own, row, seed=seed),
        row,
        classes=classes,
        between=between,
        tolerance=tolerance,
        seed=seed,
    )


def row_columns(width: int, *, missing: bool = False, names: tuple[str, ...] = ()) -> RowColumns:
    """The columns of rows of `width` numbers."""
    declared = tuple(Column(name=name, kind="number") for name in names) or None
    return RowColumns(InputSpec(dtype="float64", shape=(width,), missing=missing, columns=declared))


def monitor(
    sketches: Sketches,
    row: RowColumns,
    *,
    classes: int = 1,
    between: int = 1_000_000,
    tolerance: float = 0.01,
    seed: int = 0,
) -> Columns:
    """The monitor of these sketches, for rows with these columns."""
    return Columns(
        sketches,
        ColumnValues(row, sketches),
        tuple(f"class{at}" for at in range(classes)),
        rows_between_false_alarms=between,
        tolerance=tolerance,
        seed=seed,
    )


def blocks(columns: Columns, rows: Array, predictions: npt.NDArray[np.int64] | None = None, each: int = 1) -> Blocks:
    """Rows (n, ...) as requests of `each` rows."""
    found = Blocks.of(np.zeros(len(rows)), each)
    own = np.zeros(len(rows), np.int64) if predictions is None else predictions
    starts = range(0, len(rows), each)
    buffer = ColumnBuffer(columns.values)
    for at in starts:
        if buffer.reads_rows:
            buffer.put(rows[at : at + each])
    values = buffer.read([own[at : at + each] for at in starts])
    return Blocks(found.scores, found.rows, found.clients, predictions=own, values=values)


def rows_to_a_name(columns: Columns, rows: Float64, each: int = 1) -> tuple[int | None, str | None]:
    """After how many rows a column is named, and which; None if none is. Looks after every 8 requests."""
    step = 8 * each
    for begin in itertools.count(0, step):
        if begin >= len(rows):
            return None, None
        piece = rows[begin : begin + step]
        columns.observe(blocks(columns, piece[: len(piece) // each * each], each=each))
        view = columns.view()
        if view.drifting:
            return begin + len(piece), view.states()[0].column
    return None, None
