"""The columns of rows, by name, as numbers: all that the monitor of columns needs to see of a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_rows import AnyRows, NamedRows, join
from harmgauge.bundle.picture_measures import measures_of
from harmgauge.bundle.row_columns import InputColumns, RowColumns
from harmgauge.bundle.rows import Array
from harmgauge.bundle.sketches import Sketches

MOST_ROWS = 256
"""Rows of a request beyond this number would cost time on the event loop and hardly change the bet on their mean."""

PREDICTIONS = "predicted class"
"""Name of the predicted class among the columns."""

UNLISTED = -1.0
"""Stands for any string that has no flag."""

Kind = Literal["number", "text", "category", "word", "prediction"]
"""`text`: the number of its characters. `word`: a category that is a string."""

RowsT = TypeVar("RowsT", bound=AnyRows)
Float64 = npt.NDArray[np.float64]
Predictions = npt.NDArray[np.int64]

_Read = Callable[[AnyRows], Float64]
"""The values of some columns (n, k)."""


class ColumnValues:
    """Reads the columns that have sketches, and the predicted class, which is the last column.

    Strings become the number that stands for them in the sketches, or their length in characters. Measures of pictures
    take too long to be read with the others: only `measured` reads them.
    """

    def __init__(self, columns: RowColumns, sketches: Sketches) -> None:
        positions: list[int] = sketches.positions.tolist()
        self._readers = _readers(columns, sketches)
        own = columns.names(positions)
        self.names: tuple[str, ...] = (*own, f"{PREDICTIONS} (of the model)" if PREDICTIONS in own else PREDICTIONS)
        """The columns' names, (c + 1,), all different."""
        self.kinds: tuple[Kind, ...] = (*_kinds(columns, sketches), "prediction")
        """The meaning of each column's values, (c + 1,)."""
        self.reads_rows = bool(self._readers)
        """Whether any column is one of the rows, rather than a measure or the predicted class."""
        self._measures = next((part for part in columns.inputs if part.holds == "measures"), None)
        self.measures: npt.NDArray[np.intp] = np.flatnonzero(
            [columns.at(position).holds == "measures" for position in positions]
        )
        """The columns that are measures of pictures."""
        first = 0 if self._measures is None else self._measures.first
        self._offsets = sketches.positions[self.measures] - first

    def __call__(self, parts: Sequence[AnyRows], predictions: Sequence[Predictions]) -> Float64:
        """The values of the rows of some requests, one after another, and their predicted classes: (n, c + 1).

        NaN is a missing value, or a measure. Without `reads_rows`, `parts` may be empty.
        """
        classes = np.concatenate(predictions)
        found = np.empty((len(classes), len(self.names)))
        found[:, self.measures] = np.nan
        if self.reads_rows:
            rows = join(parts)
            for places, read in self._readers:
                found[:, places] = read(rows)
        found[:, -1] = classes
        return found

    def measured(self, rows: Array) -> Float64:
        """The measures of pictures (n, *shape) that have sketches, (n, c + 1); NaN in all other columns."""
        found = np.full((len(rows), len(self.names)), np.nan)
        if self._measures is not None and len(self.measures):
            found[:, self.measures] = values_of(rows, self._measures)[:, self._offsets]
        return found


def picked(rows: RowsT) -> RowsT:
    """At most MOST_ROWS rows of a request, or their predicted classes, evenly spaced."""
    if len(rows) <= MOST_ROWS:
        return rows
    return cast(RowsT, rows[np.arange(MOST_ROWS) * len(rows) // MOST_ROWS])


def rows_read(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """How many rows are read of requests with `rows` (k,) rows, (k,)."""
    return np.minimum(rows, MOST_ROWS)


def values_of(rows: AnyRows, part: InputColumns) -> Array:
    """The numbers or strings of one input, the length of its free axis, or its measures, (n, `part.size`)."""
    if part.image is not None:
        assert not isinstance(rows, NamedRows)
        return measures_of(rows, part.image)
    if part.holds == "length":
        assert isinstance(rows, NamedRows)
        return rows.lengths[:, None]
    array = rows.fixed[part.input.name] if isinstance(rows, NamedRows) else rows
    return array.reshape(len(rows), -1)


def characters(strings: Array, *, missing: bool) -> Float64:
    """The lengths of strings (n,), in characters; with `missing`, NaN for the empty string."""
    found = np.array([len(value) for value in strings.tolist()], np.float64)
    if missing:
        found[found == 0] = np.nan
    return found


def _kinds(columns: RowColumns, sketches: Sketches) -> list[Kind]:
    has_number = np.isin(np.arange(sketches.predictions), sketches.numbers).tolist()
    found: list[Kind] = []
    for position, is_number in zip(sketches.positions.tolist(), has_number, strict=True):
        is_string = columns.at(position).holds == "strings"
        if is_number:
            found.append("text" if is_string else "number")
        else:
            found.append("word" if is_string else "category")
    return found


def _readers(columns: RowColumns, sketches: Sketches) -> list[tuple[slice, _Read]]:
    """A reader for each input, and the places of its columns."""
    found: list[tuple[slice, _Read]] = []
    for part in columns.inputs:
        if part.holds == "measures":
            continue
        begin, end = np.searchsorted(sketches.positions, (part.first, part.first + part.size)).tolist()
        if end > begin:
            offsets = sketches.positions[begin:end] - part.first
            read = _strings(part, offsets, sketches, begin) if part.holds == "strings" else _numbers(part, offsets)
            found.append((slice(begin, end), read))
    return found


def _numbers(part: InputColumns, offsets: npt.NDArray[np.int64]) -> _Read:
    if len(offsets) == part.size:
        return lambda rows: values_of(rows, part)
    return lambda rows: values_of(rows, part)[:, offsets]


def _strings(part: InputColumns, offsets: npt.NDArray[np.int64], sketches: Sketches, begin: int) -> _Read:
    codes = [sketches.codes_of_words(begin + at) for at in range(len(offsets))]
    missing = part.input.missing
    for own in codes:
        if own is not None and missing:
            own.setdefault("", np.nan)

    def read(rows: AnyRows) -> Float64:
        strings = values_of(rows, part)
        found = np.empty((len(rows), len(offsets)))
        for at, (offset, own) in enumerate(zip(offsets.tolist(), codes, strict=True)):
            column = strings[:, offset]
            if own is None:
                found[:, at] = characters(column, missing=missing)
            else:
                found[:, at] = [own.get(value, UNLISTED) for value in column.tolist()]
        return found

    return read
