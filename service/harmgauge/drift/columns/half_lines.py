"""The half-lines of many variables in one array, so that all bets on them are single operations on arrays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.order_statistics import Boundaries, Float64

_T = TypeVar("_T", bound=np.generic)


class _Part(NamedTuple):
    """The upper or the lower half-lines of the variables of a group."""

    cells: slice
    levels: int
    variables: slice


class HalfLines:
    """The half-lines of the T variables of all `groups`, as 2 h *cells*: the upper ones of each group (levels, T of the
    group), flattened, then the lower ones likewise.
    """

    def __init__(self, *groups: Boundaries) -> None:
        self._groups = groups = tuple(group for group in groups if len(group.rows))
        self._upper, self._lower = self._parts(0), self._parts(self.size // 2)
        self.keys = self._joined([group.keys for group in groups])
        """The key of each boundary, (2 h,)."""
        self.sizes = self._joined([group.sizes for group in groups])
        """How many of the rows + 1 rank gaps of its variable each cell contains, (2 h,)."""
        self.rows: Float64 = np.concatenate([np.empty(0), *(group.rows.astype(np.float64) for group in groups)])
        """The number of known reference values of each variable, (T,)."""

    @cached_property
    def size(self) -> int:
        """The number of cells, 2 h."""
        return sum(group.values.size for group in self._groups)

    def views(self, cells: npt.NDArray[_T], *, lower_only: bool = False) -> Iterator[tuple[npt.NDArray[_T], slice]]:
        """Views (..., levels, variables) of an array (..., 2 h), and the variables of each."""
        for part in self._lower if lower_only else (*self._upper, *self._lower):
            width = part.variables.stop - part.variables.start
            yield cells[..., part.cells].reshape(*cells.shape[:-1], part.levels, width), part.variables

    def means(self, cells: npt.NDArray[np.floating]) -> tuple[Float64, Float64]:
        """The means of an array (k, 2 h) over each variable's upper half-lines, and over its lower ones, (T,)."""
        half, variables = self.size // 2, self._variables
        upper, lower = np.split(cells.mean(axis=0), [half])
        levels = np.bincount(variables, minlength=len(self.rows))
        above, below = (np.bincount(variables, side, len(self.rows)) / levels for side in (upper, lower))
        return above, below

    @cached_property
    def _variables(self) -> npt.NDArray[np.intp]:
        """The variable of each upper cell, and of each lower one, (h,)."""
        found = np.empty(self.size, np.intp)
        for view, variables in self.views(found):
            view[:] = np.arange(variables.start, variables.stop)
        return found[: self.size // 2]

    def _parts(self, cell: int) -> list[_Part]:
        """Parts of which the first begins at this cell."""
        found, variable = [], 0
        for group in self._groups:
            width = len(group.rows)
            end = cell + group.levels * width
            found.append(_Part(slice(cell, end), group.levels, slice(variable, variable + width)))
            cell, variable = end, variable + width
        return found

    def _joined(self, arrays: list[Float64]) -> Float64:
        """Arrays (2 * levels, T of the group) of all groups as one of cells."""
        upper = [array[: len(array) // 2].reshape(-1) for array in arrays]
        lower = [array[len(array) // 2 :].reshape(-1) for array in arrays]
        return np.concatenate([np.empty(0), *upper, *lower])
