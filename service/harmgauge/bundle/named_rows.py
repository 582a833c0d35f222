"""Rows of a graph with several inputs, with strings, or with a free axis: an array for each input, by name.

Rows of unequal lengths are kept one after another, without padding: otherwise one long row among a thousand short ones
would take a thousand times its own memory. They are padded when they run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge.memory import kept_alive_bytes

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class NamedRows:
    """n rows; must not change.

    `fixed` has the inputs of fixed shape, (n, *shape), strings as objects. `free` has those with a free axis, which
    comes first, all rows one after another: (total, *rest). Row i is at `offsets[i]` to `offsets[i + 1]`, of (n + 1,)
    int64; None without such inputs.

    Rows in `flagged` (n,) are flagged whatever their score; None if there are none. `unseen` counts the strings outside
    their categories, by column, in all rows that were read together: parts of them have none.
    """

    __slots__ = ("_held_bytes", "_rows", "fixed", "flagged", "free", "offsets", "unseen")

    def __init__(
        self,
        fixed: Mapping[str, Array],
        free: Mapping[str, Array] | None = None,
        offsets: Positions | None = None,
        flagged: Flags | None = None,
        unseen: Mapping[str, int] | None = None,
    ) -> None:
        self.fixed = dict(fixed)
        self.free = dict(free or {})
        self.offsets = offsets
        self.flagged = flagged
        self.unseen = unseen or {}
        self._rows = len(next(iter(self.fixed.values()))) if offsets is None else len(offsets) - 1
        self._held_bytes: int | None = None

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, picked: slice | npt.NDArray[np.intp]) -> Self:
        """The rows of a slice without a step, as views, or those at positions (k,), as copies."""
        fixed = {name: array[picked] for name, array in self.fixed.items()}
        flagged = None if self.flagged is None else self.flagged[picked]
        if self.offsets is None:
            return type(self)(fixed, flagged=flagged)
        if isinstance(picked, slice):
            start, stop, _ = picked.indices(len(self))
            offsets = self.offsets[start : max(start, stop) + 1]
            free = {name: array[offsets[0] : offsets[-1]] for name, array in self.free.items()}
            return type(self)(fixed, free, offsets - offsets[0], flagged)
        lengths = self.lengths[picked]
        offsets = offsets_of(lengths)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][picked] - offsets[:-1], lengths)
        return type(self)(fixed, {name: array[places] for name, array in self.free.items()}, offsets, flagged)

    @property
    def lengths(self) -> Positions:
        """The length of each row (n,); only for rows with a free axis."""
        assert self.offsets is not None
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays and their strings."""
        return sum(array.nbytes + _string_bytes(array) for array in (*self.fixed.values(), *self.free.values()))

    @property
    def held_bytes(self) -> int:
        """Memory that the rows keep alive, including bodies that they are views of."""
        if self._held_bytes is None:
            arrays = [*self.fixed.values(), *self.free.values()]
            self._held_bytes = sum(kept_alive_bytes(array) + _string_bytes(array) for array in arrays)
        return self._held_bytes

    def padded(self, name: str, pad_value: float, length: int) -> Array:
        """The input `name` with its free axis first, padded to `length`: (n, length, *rest)."""
        values, lengths = self.free[name], self.lengths
        shape = (len(self), length, *values.shape[1:])
        if len(values) == shape[0] * shape[1]:
            return values.reshape(shape)
        padded = np.full(shape, pad_value, values.dtype)
        padded[np.arange(length) < lengths[:, None]] = values
        return padded

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The rows of all parts, of the same inputs, in order."""
        first = parts[0]
        fixed = {name: np.concatenate([part.fixed[name] for part in parts]) for name in first.fixed}
        flagged = None
        if any(part.flagged is not None for part in parts):
            flagged = np.concatenate([_flags(part) for part in parts])
        if first.offsets is None:
            return cls(fixed, flagged=flagged)
        free = {name: np.concatenate([part.free[name] for part in parts]) for name in first.free}
        return cls(fixed, free, offsets_of(np.concatenate([part.lengths for part in parts])), flagged)


def join_parts(parts: list[NamedRows]) -> NamedRows:
    """Like `join`, for parts that nothing else uses: each input's arrays are freed once they are joined."""
    flagged = None
    if any(part.flagged is not None for part in parts):
        flagged = np.concatenate([_flags(part) for part in parts])
    unseen: dict[str, int] = {}
    for part in parts:
        for key, count in part.unseen.items():
            unseen[key] = unseen.get(key, 0) + count
    fixed = {name: np.concatenate([part.fixed.pop(name) for part in parts]) for name in list(parts[0].fixed)}
    free = {name: np.concatenate([part.free.pop(name) for part in parts]) for name in list(parts[0].free)}
    offsets = None if parts[0].offsets is None else offsets_of(np.concatenate([part.lengths for part in parts]))
    return NamedRows(fixed, free, offsets, flagged, unseen)


def _flags(part: NamedRows) -> Flags:
    return np.zeros(len(part), np.bool_) if part.flagged is None else part.flagged


AnyRows = Array | NamedRows
"""Instances of any bundle: one array (n, *shape) if it has one input of numbers, otherwise an array for each input."""

RowsT_co = TypeVar("RowsT_co", bound=AnyRows, covariant=True)
"""Instances of one of the two kinds."""


def join(parts: Sequence[AnyRows]) -> AnyRows:
    """The rows of all parts, which are of the same kind, in order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, NamedRows):
        return NamedRows.join([part for part in parts if isinstance(part, NamedRows)])
    arrays: list[Array] = [part for part in parts if not isinstance(part, NamedRows)]
    return np.concatenate(arrays)


def held_bytes(rows: AnyRows) -> int:
    """Memory that the rows keep alive, including the body that they are views of."""
    return rows.held_bytes if isinstance(rows, NamedRows) else kept_alive_bytes(rows)


def offsets_of(lengths: Positions) -> Positions:
    """Positions (n + 1,) at which rows of these lengths (n,) begin and end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _string_bytes(array: Array) -> int:
    return sum(map(sys.getsizeof, array.flat)) if array.dtype.kind == "O" else 0
