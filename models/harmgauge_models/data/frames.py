"""Reads tables from Parquet and CSV files: a NumPy array for each column."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harmgauge.bundle.part import first_double
from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".parquet", ".csv")

MOST_FIELD_CHARACTERS = 2**24
"""Longest value in a CSV file."""


def read_frame(path: Path) -> dict[str, Array]:
    """The columns of a table by name, (n, ...) each. Raises UserError.

    CSV has no types, so its values are strings, and an empty one may be missing. In Parquet, a null is NaN among
    numbers and None among strings; lists are padded with 0 to the longest.
    """
    columns = _csv(path) if path.suffix == ".csv" else _parquet(path)
    if not columns:
        raise UserError(f"{path} has no columns")
    return columns


def _csv(path: Path) -> dict[str, Array]:
    csv.field_size_limit(MOST_FIELD_CHARACTERS)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names = next(reader, [])
            rows = []
            for row in reader:
                if not row:
                    continue  # a blank line
                if len(row) != len(names):
                    raise UserError(
                        f"{path}, line {reader.line_num}: expected {len(names)} values, as in the first line, got "
                        f"{len(row)}"
                    )
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} is not a readable CSV file in UTF-8 with the columns' names in its first line: {error}"
        ) from error
    if (double := first_double(names)) is not None:
        raise UserError(f"{path} has two columns called {double!r}: rename one")
    return {name: np.array([row[place] for row in rows], object) for place, name in enumerate(names)}


def _parquet(path: Path) -> dict[str, Array]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 - only this way needs it
    except ImportError as error:
        raise UserError(f"reading {path} requires pyarrow ({error}): pip install 'harmgauge[parquet]'") from error
    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        raise UserError(f"{path} is not a readable Parquet file: {error}") from error
    if (double := first_double(table.column_names)) is not None:
        raise UserError(f"{path} has two columns called {double!r}: rename one")
    return {name: _column(table.column(name)) for name in table.column_names}


def _column(column: pyarrow.ChunkedArray) -> Array:
    from pyarrow import types  # noqa: PLC0415 - see above

    kind = column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_decimal(kind):
        column = column.cast("float64")
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _lists(column)
    if types.is_string(kind) or types.is_large_string(kind) or kind == "string_view":
        return np.array(column.to_pylist(), object)
    found: Array = column.to_numpy()
    return found


def _lists(column: pyarrow.ChunkedArray) -> Array:
    rows = [np.asarray(() if row is None else row) for row in column.to_pylist()]
    made = np.zeros(
        (len(rows), max((len(row) for row in rows), default=0)), np.result_type(*rows) if rows else np.int64
    )
    for place, row in enumerate(rows):
        made[place, : len(row)] = row
    return made
