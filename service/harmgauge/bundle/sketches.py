"""`columns.npz`: what a bundle keeps of its reference rows, column by column, so that traffic can be compared with it.

A column of numbers is kept as a few order statistics, and so are the lengths of texts. A category, or a missing value,
is a *flag*: the number 1 for rows that have it, and 0 for others, kept in the same way.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.order_statistics import Boundaries, Float64
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.errors import BundleError

NUMBER_LEVELS = 3
FLAG_LEVELS = 8
"""Categories may be rare, so their half-lines must be small too."""

MAX_COLUMNS = 200
"""Each column is a time series of several metrics of every replica."""

MAX_FLAGS = 256
"""A flag costs as much time as three columns of numbers."""

MAX_WORD_CHARACTERS = 200
"""Limit for a string that has a flag; texts have none."""

MISSING = np.nan
"""The code of the flag for missing values."""

OTHER = np.inf
"""The code of the flag for all values without a flag."""

_MAX_UNPACKED_BYTES = 2**22
_MOST_ROWS = 2**53


@dataclass(frozen=True)
class Sketches:
    """Sketches of c columns, at `positions` (c,) of a row (`RowColumns`), ascending; elsewhere a column is an index
    into these, and c is the predicted class.

    `numbers` (k,) are the columns of numbers, or of texts, which count as their lengths; `number_bounds` are their
    half-lines, and `ranges` (k, 2) their least and greatest known value. `flags` (m,) are the columns of the flags,
    `codes` (m,) the values that these indicate (of predictions: the class; of strings: the index in `words` (w,)),
    MISSING or OTHER, `flag_bounds` their half-lines, and `flag_counts` (m,) the number of reference rows that have
    each.
    """

    positions: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    number_bounds: Boundaries
    ranges: Float64
    flags: npt.NDArray[np.int64]
    codes: Float64
    flag_counts: npt.NDArray[np.int64]
    flag_bounds: Boundaries
    words: npt.NDArray[np.str_]

    @property
    def predictions(self) -> int:
        """The number that stands for the predicted class among the columns."""
        return len(self.positions)

    @property
    def has_predictions(self) -> bool:
        return bool((self.flags == self.predictions).any())

    def codes_of_words(self, column: int) -> dict[str, float] | None:
        """The codes of a column of strings, by string; None if it is a text."""
        if (self.numbers == column).any():
            return None
        codes = self.codes[(self.flags == column) & np.isfinite(self.codes)].tolist()
        return {str(self.words[int(code)]): code for code in codes}

    def npz(self) -> bytes:
        """The file's contents, in the format of `read_sketches`."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "positions": self.positions,
            "numbers": self.numbers,
            "ranges": self.ranges,
            "flags": self.flags,
            "codes": self.codes,
            "flag_counts": self.flag_counts,
            "words": self.words,
        }
        for name, bounds in (("number", self.number_bounds), ("flag", self.flag_bounds)):
            arrays |= {
                f"{name}_values": bounds.values,
                f"{name}_jitters": bounds.jitters,
                f"{name}_rows": bounds.rows,
            }
        stream = io.BytesIO()
        np.savez_compressed(stream, allow_pickle=False, **arrays)
        return stream.getvalue()


def read_sketches(file: Path, data: bytes, columns: RowColumns, classes: int) -> Sketches:
    """Parse and validate the contents `data` of `file`, for rows with these columns and this number of classes.

    Raises BundleError.
    """
    try:
        arrays = read_npz(io.BytesIO(data), _MAX_UNPACKED_BYTES)
        found = Sketches(
            positions=_array(arrays, "positions", np.int64, 1),
            numbers=_array(arrays, "numbers", np.int64, 1),
            number_bounds=_bounds(arrays, "number", NUMBER_LEVELS),
            ranges=_array(arrays, "ranges", np.float64, 2),
            flags=_array(arrays, "flags", np.int64, 1),
            codes=_array(arrays, "codes", np.float64, 1),
            flag_counts=_array(arrays, "flag_counts", np.int64, 1),
            flag_bounds=_bounds(arrays, "flag", FLAG_LEVELS),
            words=_words(arrays),
        )
        _check(found, columns.size, classes)
        _check_words(found, columns)
    except ValueError as error:
        raise BundleError(f"{file} contains no valid sketches of columns ({error}): build the bundle again") from error
    return found


def _array(arrays: dict[str, npt.NDArray[Any]], name: str, dtype: npt.DTypeLike, axes: int) -> npt.NDArray[Any]:
    array = arrays.get(name)
    if array is None or array.dtype != dtype or array.ndim != axes:
        raise ValueError(f"{name!r} must be {np.dtype(dtype)} with {axes} axes")
    return array


def _words(arrays: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.str_]:
    words = arrays.get("words", np.empty(0, np.str_))
    if words.dtype.kind != "U" or words.ndim != 1 or words.dtype.itemsize > 4 * MAX_WORD_CHARACTERS:
        raise ValueError(f"'words' must be strings of at most {MAX_WORD_CHARACTERS} characters")
    return words


def _bounds(arrays: dict[str, npt.NDArray[Any]], name: str, levels: int) -> Boundaries:
    values = _array(arrays, f"{name}_values", np.float64, 2)
    if len(values) != 2 * levels:
        raise ValueError(f"'{name}_values' must have {2 * levels} rows")
    jitters = _array(arrays, f"{name}_jitters", np.float64, 2)
    bounds = Boundaries(values, jitters, _array(arrays, f"{name}_rows", np.int64, 1))
    bounds.check()
    if not ((bounds.rows >= 1) & (bounds.rows <= _MOST_ROWS)).all():
        raise ValueError(f"'{name}_rows' must be at least 1")
    return bounds


def _check(found: Sketches, row_size: int, classes: int) -> None:
    """Raises ValueError if the parts do not fit each other."""
    columns = len(found.positions)
    if columns > MAX_COLUMNS or len(found.flags) > MAX_FLAGS or not len(found.flags) + len(found.numbers):
        raise ValueError(f"expected up to {MAX_COLUMNS} columns and {MAX_FLAGS} flags, and not none of both")
    if (np.diff(found.positions) <= 0).any() or not _are_within(found.positions, row_size):
        raise ValueError("'positions' must ascend, within a row")
    if (np.diff(found.numbers) <= 0).any() or not _are_within(found.numbers, columns):
        raise ValueError("'numbers' must ascend, and be columns")
    if (np.diff(found.flags) < 0).any() or not _are_within(found.flags, columns + 1):
        raise ValueError("'flags' must ascend, and be columns")
    used = {*found.numbers.tolist(), *found.flags.tolist()}
    if not used >= set(range(columns)):
        raise ValueError("a column has neither numbers nor flags")
    if found.ranges.shape != (len(found.numbers), 2) or not (found.ranges[:, 0] <= found.ranges[:, 1]).all():
        raise ValueError("'ranges' must be of the numbers, the least first")
    if len(found.number_bounds.rows) != len(found.numbers) or len(found.flag_bounds.rows) != len(found.flags):
        raise ValueError("order statistics must be of each number and flag")
    if not found.codes.shape == found.flag_counts.shape == found.flags.shape:
        raise ValueError("'codes' and 'flag_counts' must be of the flags")
    if not np.isin(found.flag_bounds.values, (0.0, 1.0)).all():
        raise ValueError("'flag_values' must be 0 or 1")
    if not ((found.flag_counts >= 0) & (found.flag_counts <= found.flag_bounds.rows)).all():
        raise ValueError("'flag_counts' must be from 0 to the rows")
    pairs = set(zip(found.flags.tolist(), map(str, found.codes.tolist()), strict=True))
    if len(pairs) < len(found.flags):
        raise ValueError("a column has two flags with the same code")
    own = found.codes[found.flags == columns]
    if not (np.isin(own, np.arange(classes)) | (own == OTHER)).all():
        raise ValueError(f"flags of predictions must be of the {classes} classes")


def _check_words(found: Sketches, columns: RowColumns) -> None:
    """Raises ValueError unless the codes of strings are of different words."""
    for column, position in enumerate(found.positions.tolist()):
        if columns.at(position).holds != "strings":
            continue
        codes = found.codes[(found.flags == column) & np.isfinite(found.codes)]
        if not (np.isin(codes, np.arange(len(found.words)))).all():
            raise ValueError(f"a column of strings has codes that are not of the {len(found.words)} words")
        if len(set(found.words[codes.astype(np.intp)].tolist())) < len(codes):
            raise ValueError("a column has two flags with the same string")


def _are_within(numbers: npt.NDArray[np.int64], end: int) -> bool:
    return bool(((numbers >= 0) & (numbers < end)).all())
