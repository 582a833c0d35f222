"""Columns with a reference, and streams of rows for them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import ColumnValues
from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.sketches import Sketches
from harmgauge.drift.columns.columns import Columns
from harmgauge.drift.state import Blocks
from harmgauge_models.building.sketches import sketches_of

Float64 = npt.NDArray[np.float64]


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
    return monitor(
        sketches_of(reference, own, missing=missing, seed=seed),
        reference.shape[1],
        classes=classes,
        between=between,
        tolerance=tolerance,
        seed=seed,
        names=names,
    )


def monitor(
    sketches: Sketches,
    width: int,
    *,
    classes: int = 1,
    between: int = 1_000_000,
    tolerance: float = 0.01,
    seed: int = 0,
    names: tuple[str, ...] = (),
) -> Columns:
    """The monitor of these sketches, for rows of `width` numbers."""
    declared = tuple(SimpleNamespace(name=name) for name in names) or None
    manifest: Any = SimpleNamespace(
        inputs=(SimpleNamespace(columns=declared),), input=SimpleNamespace(shape=(width,), row_size=width)
    )
    return Columns(
        sketches,
        ColumnValues(cast("Manifest", manifest), sketches.positions),
        tuple(f"class{at}" for at in range(classes)),
        rows_between_false_alarms=between,
        tolerance=tolerance,
        seed=seed,
    )


def blocks(columns: Columns, rows: Float64, predictions: npt.NDArray[np.int64] | None = None, each: int = 1) -> Blocks:
    """Rows (n, c) as requests of `each` rows."""
    found = Blocks.of(np.zeros(len(rows)), each)
    own = np.zeros(len(rows), np.int64) if predictions is None else predictions
    starts = range(0, len(rows), each)
    values = np.concatenate([columns.values(rows[at : at + each], own[at : at + each]) for at in starts])
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
