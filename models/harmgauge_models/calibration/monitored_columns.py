"""Chooses the columns of calibration rows that the service monitors, and their kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import characters, values_of
from harmgauge.bundle.inputs import Column
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.row_columns import InputColumns, RowColumns
from harmgauge.bundle.rows import Array
from harmgauge.bundle.sketches import MAX_COLUMNS, MAX_WORD_CHARACTERS
from harmgauge_models.data.columns import find_columns
from harmgauge_models.data.record_inputs import are_categories

LEAST_KNOWN_ROWS = 100
"""A column with fewer known values is only monitored for missing ones."""

MOST_UNDECLARED = 2
"""Numbers with at most this many values are categories, even if the bundle does not say so."""

MEASURED_ROWS = 5000
"""Each picture takes up to some milliseconds."""

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MonitoredColumn:
    """The `values` (n,) of the column at `position` of a row, NaN for a missing one: numbers, lengths of texts or, of
    strings that name categories, indices of `words`. `compares` is the way of comparing them with the reference.
    """

    position: int
    values: Float64
    compares: Literal["numbers", "categories", "nothing"]
    may_miss: bool
    words: tuple[str, ...] = ()

    @property
    def known(self) -> Float64:
        found: Float64 = self.values[~np.isnan(self.values)]
        return found


def monitored_columns(rows: AnyRows, columns: RowColumns, say: Callable[[str], None]) -> list[MonitoredColumn]:
    """At most MAX_COLUMNS columns of n rows, by position."""
    positions = [at for part in columns.inputs for at in _positions(rows, part)]
    if len(positions) > MAX_COLUMNS:
        say(f"of {len(positions)} columns, the first {MAX_COLUMNS} are monitored one by one")
    found = [_column(rows, columns.at(position), position) for position in positions[:MAX_COLUMNS]]
    return found + [column for part in columns.inputs for column in _measures(rows, part)]


def _measures(rows: AnyRows, part: InputColumns) -> list[MonitoredColumn]:
    """The measures of at most MEASURED_ROWS evenly spaced pictures."""
    if part.holds != "measures" or len(rows) < LEAST_KNOWN_ROWS:
        return []
    step = -(-len(rows) // MEASURED_ROWS)
    values = values_of(rows[::step], part)
    return [MonitoredColumn(part.first + at, own, "numbers", may_miss=False) for at, own in enumerate(values.T)]


def _positions(rows: AnyRows, part: InputColumns) -> list[int]:
    """The positions of an input whose meaning is always the same; not those of pictures, series or token ids."""
    if part.holds == "measures":
        return []
    every = range(part.first, part.first + part.size)
    columns = [part.column(at) for at in every]
    if part.holds == "numbers" and columns[0] is None:
        if part.input.vocabulary_size is not None:
            return []
        values = values_of(rows, part).reshape(len(rows), *(size or 1 for size in part.input.shape))
        is_one = values.ndim == 1 or values.shape[1:] == (1,)
        return list(every) if is_one or find_columns(values).layout == "table" else []
    # Every later time would be out of the range of the reference.
    return [at for at, column in zip(every, columns, strict=True) if column is None or column.kind != "time"]


def _column(rows: AnyRows, part: InputColumns, position: int) -> MonitoredColumn:
    own, declared = values_of(rows, part)[:, position - part.first], part.column(position)
    if part.holds == "strings":
        return _strings(own, part, position, declared)
    values = own.astype(np.float64)
    known = values[~np.isnan(values)]
    is_category = (declared is not None and declared.kind == "category") or len(np.unique(known)) <= MOST_UNDECLARED
    compares: Literal["numbers", "categories"] = "categories" if is_category else "numbers"
    return MonitoredColumn(
        position, values, compares if len(known) >= LEAST_KNOWN_ROWS else "nothing", part.input.missing
    )


def _strings(own: Array, part: InputColumns, position: int, declared: Column | None) -> MonitoredColumn:
    missing = part.input.missing
    lengths = characters(own, missing=missing)
    known = own[~np.isnan(lengths)]
    if len(known) < LEAST_KNOWN_ROWS:
        return MonitoredColumn(position, lengths, "nothing", missing)
    is_listed = part.input.categories is not None or (declared is not None and declared.kind == "category")
    is_text = declared is not None and declared.kind == "text"
    if is_text or not (is_listed or are_categories(known)):
        return MonitoredColumn(position, lengths, "numbers", missing)
    words = sorted({value for value in known.tolist() if len(value) <= MAX_WORD_CHARACTERS})
    codes = {word: float(code) for code, word in enumerate(words)}
    values = np.array([codes.get(value, float(len(words))) for value in own.tolist()])
    return MonitoredColumn(position, np.where(np.isnan(lengths), np.nan, values), "categories", missing, tuple(words))
