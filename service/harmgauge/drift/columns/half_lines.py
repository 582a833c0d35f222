"""What the bets on many variables are on, in one array, so that all of them are single operations on arrays.

Each bet is on a *cell*: a function of a value's rank among the reference, from 0 to 1. Most cells are half-lines: 1 for
values above, or below, one order statistic. For numbers, those of the two halves are *graded* instead: the weighted
number of order statistics that the value exceeds, and its complement. A number that shifts changes all half-lines, and
a graded cell gathers the evidence of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.order_statistics import Boundaries, Float64, keys_of

Float32 = npt.NDArray[np.float32]
Values = tuple[Float64, Float64]
"""Values of numbers (n, T of them) and of flags (n, T of them); NaN is missing."""

Jitters = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
"""Random bits of rows (n,) and of variables (T,), to be combined."""

_T = TypeVar("_T", bound=np.generic)

GRADES: Float64 = np.array([6, 6, 7, 6, 7]) / 32
"""Weights of the order statistics that bound a number's upper half, quarter and eighth, and its lower quarter and
eighth. The graded cell then resembles the mean normal score between these, which is best for a shift. Fractions of 32
keep all sums exact.
"""

_MOST_ROWS = 256
"""Rows compared at a time."""

_FEW = 32
"""Fewer variables than this are too short a row for fast operations."""

_MOST_NUMBERS = 2**16
"""Numbers compared at a time stay within a processor's cache."""


class _Group:
    """Variables with the same number of levels: their cells (2 * levels, T of the group), the upper ones first, are the
    slice `cells` of all, and they are the slice `variables`.
    """

    def __init__(self, bounds: Boundaries, first_cell: int, first_variable: int, *, is_graded: bool) -> None:
        self.levels = bounds.levels
        self.is_graded = is_graded
        self.width = len(bounds.rows)
        self.cells = slice(first_cell, first_cell + bounds.values.size)
        self.variables = slice(first_variable, first_variable + self.width)
        # A graded cell replaces the lower half, so its boundary is not needed.
        bounding = np.delete(bounds.keys, self.levels, axis=0) if is_graded else bounds.keys
        self._compared = len(bounding)
        self._rows = max(1, min(_MOST_ROWS, _MOST_NUMBERS // bounding.size))
        if self.width < _FEW:
            # Rows so short are compared variable by variable.
            self._keys = bounding[:, :, None]
            self._is_above = np.empty((*bounding.shape, self._rows), np.bool_).transpose(0, 2, 1)
        else:
            # Comparing equal shapes takes less than half the time of comparing with each row separately.
            self._keys = np.repeat(bounding[:, None], self._rows, axis=1)
            self._is_above = np.empty(self._keys.shape, np.bool_)

    def above(self, values: Float64, jitters: Jitters, rows: npt.NDArray[np.intp]) -> Float32:
        """How many values of each block are above each boundary, (compared, k, T)."""
        of_rows, of_variables = jitters
        keys = keys_of(values, of_rows[:, None] ^ of_variables[self.variables])
        found = np.zeros((self._compared, len(rows), self.width), np.float32)
        size = int(rows[0])
        if size <= self._rows and len(rows) * size == len(keys) and (rows == size).all():
            blocks = self._rows // size
            for first in range(0, len(rows), blocks):
                own = self._above(keys[first * size : (first + blocks) * size])
                found[:, first : first + blocks] = _sums(own.reshape(self._compared, -1, size, self.width))
        else:
            ends = np.cumsum(rows)
            for begin in range(0, len(keys), self._rows):
                own = self._above(keys[begin : begin + self._rows])
                block, at = int(np.searchsorted(ends, begin, "right")), 0
                while at < own.shape[1]:
                    stop = min(own.shape[1], int(ends[block]) - begin)
                    found[:, block] += _sums(own[:, at:stop])
                    at, block = stop, block + 1
        return found

    def fill(self, cells: npt.NDArray[_T], above: npt.NDArray[_T], known: npt.NDArray[_T]) -> None:
        """Compute `cells` (k, 2 * levels, T) of blocks with `known` (k, T or 1) values, of which `above` (compared, k,
        T) are above each boundary.
        """
        upper, lower = cells[:, : self.levels], cells[:, self.levels :]
        upper[:] = above[: self.levels].transpose(1, 0, 2)
        first = 0
        if self.is_graded:
            first = 1
            grade = GRADES.astype(above.dtype) @ above.reshape(self._compared, -1)
            upper[:, 0] = grade.reshape(above.shape[1:])
            np.subtract(known, upper[:, 0], out=lower[:, 0])
        for own, count in zip(range(first, self.levels), above[self.levels :], strict=True):
            np.subtract(known, count, out=lower[:, own])

    def _above(self, keys: Float64) -> npt.NDArray[np.uint8]:
        """1 if a key (n, T) is above a boundary, otherwise 0, (compared, n, T); valid until the next call."""
        found = self._is_above[:, : len(keys)]
        if self.width < _FEW:
            np.greater(np.ascontiguousarray(keys.T), self._keys, out=found.transpose(0, 2, 1))
        else:
            np.greater(keys, self._keys[:, : len(keys)], out=found)
        return found.view(np.uint8)


def _sums(hits: npt.NDArray[np.uint8]) -> npt.NDArray[np.unsignedinteger]:
    """The sum of zeros and ones over the rows of each block (..., rows, width), (..., width)."""
    rows = hits.shape[-2]
    if rows == 1:
        return hits[..., 0, :]
    # A fifth of the time of np.add.reduceat, and in 8 bits much less than in 64.
    found: npt.NDArray[np.unsignedinteger] = np.add.reduce(hits, axis=-2, dtype=np.uint8 if rows < 256 else np.uint16)
    return found


class HalfLines:
    """The cells of T variables: numbers, of whose boundaries three levels are used, and then flags."""

    def __init__(self, numbers: Boundaries, flags: Boundaries) -> None:
        self._groups: list[_Group] = []
        self.size = 0
        """The number of cells."""
        for bounds, is_graded in ((numbers, True), (flags, False)):
            if len(bounds.rows):
                variables = sum(group.width for group in self._groups)
                self._groups.append(_Group(bounds, self.size, variables, is_graded=is_graded))
                self.size += bounds.values.size
        self.rows: Float64 = np.concatenate([numbers.rows, flags.rows]).astype(np.float64)
        """The number of known reference values of each variable, (T,)."""
        self.sizes: Float64 = self._sizes(numbers, flags)
        """The sum of each cell's function over the rows + 1 rank gaps of its variable, (size,)."""
        self.variables: npt.NDArray[np.intp] = np.empty(self.size, np.intp)
        """The variable of each cell, (size,)."""
        self.is_graded: npt.NDArray[np.bool_] = np.zeros(self.size, np.bool_)
        """Whether each cell is graded, (size,)."""
        for group, view in self._views(self.variables):
            view[:] = np.arange(group.variables.start, group.variables.stop)
        for group, graded in self._views(self.is_graded):
            graded[[0, group.levels]] = group.is_graded

    def means(self, cells: npt.NDArray[np.floating]) -> tuple[Float64, Float64]:
        """The means of an array (k, size) over each variable's upper cells, and over its lower ones, (T,)."""
        found = np.empty((2, len(self.rows)))
        for group, view in self._views(np.add.reduce(cells, dtype=np.float64)):
            own = np.add.reduce(view.reshape(2, group.levels, group.width), axis=1)
            np.divide(own, len(cells) * group.levels, out=found[:, group.variables])
        return found[0], found[1]

    def hits(self, values: Values, jitters: Jitters, rows: npt.NDArray[np.intp], known: Float64) -> Float32:
        """The sum of each cell's function over the `known` (k, T or 1) values of each block, (k, size).

        `values` are those of all blocks, and `rows` (k,) the size of each.
        """
        found, counts = np.empty((len(rows), self.size), np.float32), known.astype(np.float32)
        for group, view in self._views(found):
            own = values[0] if group.is_graded else values[1]
            own_known = counts if counts.shape[1] == 1 else counts[:, group.variables]
            group.fill(view, group.above(own, jitters, rows), own_known)
        return found

    def _sizes(self, numbers: Boundaries, flags: Boundaries) -> Float64:
        found = np.empty((1, self.size))
        groups = [bounds for bounds in (numbers, flags) if len(bounds.rows)]
        for (group, view), bounds in zip(self._views(found), groups, strict=True):
            gaps = bounds.rows + 1.0
            above = bounds.sizes.copy()
            above[group.levels :] = gaps - above[group.levels :]
            used = np.delete(above, group.levels, axis=0) if group.is_graded else above
            group.fill(view, used[:, None], gaps[None])
        return found.reshape(-1)

    def _views(self, cells: npt.NDArray[_T]) -> Iterator[tuple[_Group, npt.NDArray[_T]]]:
        """Each group, and its view (..., 2 * levels, T of the group) of an array (..., size)."""
        for group in self._groups:
            yield group, cells[..., group.cells].reshape(*cells.shape[:-1], 2 * group.levels, group.width)
