"""Makes the sketches of a bundle's columns from its calibration rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.order_statistics import Boundaries
from harmgauge.bundle.rows import Array
from harmgauge.bundle.sketches import (
    FLAG_LEVELS,
    MAX_COLUMNS,
    MAX_FLAGS,
    MISSING,
    NUMBER_LEVELS,
    OTHER,
    Sketches,
)
from harmgauge_models.data.columns import find_columns

MOST_VALUES = 32
"""Flags of one column: further values, and classes, share one."""

LEAST_KNOWN_ROWS = 100
"""A column with fewer known values is only monitored for missing ones."""

Float64 = npt.NDArray[np.float64]

_Flag = tuple[int, float, Float64]
"""Column, code, and the flag of each reference row on which it is known."""


def sketches_of(
    x: Array,
    predictions: npt.NDArray[np.int64],
    *,
    missing: bool,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Sketches:
    """The sketches of rows `x` (n, *shape), if they are a table, and of their predicted classes (n,).

    `missing` is whether the service accepts missing values.
    """
    flat = x.reshape(len(x), -1)
    columns = _columns(x, say)
    values = [flat[:, at].astype(np.float64) for at in columns]
    flags: list[_Flag] = _values_of(len(columns), predictions.astype(np.float64))
    if missing:
        flags += [(at, MISSING, np.isnan(column).astype(np.float64)) for at, column in enumerate(values)][
            : MAX_FLAGS // 2
        ]
    numbers: list[int] = []
    for at, column in enumerate(values):
        known = column[~np.isnan(column)]
        if len(known) < LEAST_KNOWN_ROWS:
            continue
        own = _values_of(at, known) if len(np.unique(known)) <= 2 else []
        if own and len(flags) + len(own) <= MAX_FLAGS:
            flags += own
        else:
            numbers.append(at)
    monitored = sorted({*numbers, *(at for at, *_ in flags if at < len(columns))})
    place = {at: number for number, at in enumerate(monitored)} | {len(columns): len(monitored)}
    flags.sort(key=lambda flag: flag[0])
    random = np.random.default_rng(seed)
    known_numbers = [values[at][~np.isnan(values[at])] for at in numbers]
    return Sketches(
        positions=np.array([columns[at] for at in monitored], np.int64),
        numbers=np.array([place[at] for at in numbers], np.int64),
        number_bounds=Boundaries.of(known_numbers, NUMBER_LEVELS, random),
        ranges=np.array([(own.min(), own.max()) for own in known_numbers]).reshape(-1, 2),
        flags=np.array([place[at] for at, *_ in flags], np.int64),
        codes=np.array([code for _, code, _ in flags]),
        flag_counts=np.array([own.sum() for *_, own in flags]).astype(np.int64),
        flag_bounds=Boundaries.of([own for *_, own in flags], FLAG_LEVELS, random),
    )


def _columns(x: Array, say: Callable[[str], None]) -> list[int]:
    """Positions in a flattened row of the columns to monitor; none unless the rows are a table."""
    if find_columns(x).layout != "table":
        return []
    width = int(np.prod(x.shape[1:]))
    if width > MAX_COLUMNS:
        say(f"of {width} columns, the first {MAX_COLUMNS} are monitored one by one")
    return list(range(min(width, MAX_COLUMNS)))


def _values_of(column: int, known: Float64) -> list[_Flag]:
    """A flag for each of the most frequent values, and one for all others, also for those that are new."""
    values, counts = np.unique(known, return_counts=True)
    kept = values[np.argsort(-counts, kind="stable")[: MOST_VALUES - 1]]
    found: list[_Flag] = [(column, float(value), (known == value).astype(np.float64)) for value in np.sort(kept)]
    return [*found, (column, OTHER, (~np.isin(known, kept)).astype(np.float64))]
