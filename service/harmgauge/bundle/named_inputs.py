"""The inputs of a bundle whose rows are `NamedRows`, and the conversion of arrays to such rows and back."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from pydantic import model_validator

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_rows import NamedRows, Positions, offsets_of
from harmgauge.bundle.part import Part, Text, first_double
from harmgauge.bundle.rows import Array
from harmgauge.bundle.values import value_problem

MAX_ROW_BYTES = 2**30
"""Limit for a row, at its maximum length."""

TEXT = "text"
"""The key of a text that the bundle's tokenizer turns into its inputs."""

TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""The inputs that a tokenizer can fill: transformers' names."""

_STRING_BYTES = 8
"""Bytes of a string's reference."""


class Field(NamedTuple):
    """A value of a record: all of input `input`, or the number or string at `position` of its only axis."""

    key: str
    input: Input
    position: int | None


class NamedInputs(Part):
    """The graph's inputs, in the manifest's order, and the tokenizer's file if there is one.

    Inputs with a free axis have the same length in a row. A trailing position that holds the pad values of all of them
    is padding.
    """

    inputs: tuple[Input, ...]
    tokenizer: Text | None = None

    def __hash__(self) -> int:
        return hash(self.names)  # the default would hash every category, for each request

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(found.name for found in self.inputs)

    @cached_property
    def by_name(self) -> dict[str, Input]:
        return {found.name: found for found in self.inputs}

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The values of a record by key: a column's name, or that of an input without columns."""
        return {field.key: field for each in self.inputs for field in _fields(each)}

    @cached_property
    def free(self) -> tuple[Input, ...]:
        """The inputs with a free axis."""
        return tuple(found for found in self.inputs if None in found.shape)

    @cached_property
    def maximum(self) -> int | None:
        """The greatest length of a free axis; None without one."""
        return self.free[0].maximum if self.free else None

    @cached_property
    def pads(self) -> dict[str, float] | None:
        """The pad value of each input with a free axis; None if some have none, so that rows cannot be padded."""
        pads = {found.name: found.pad_value for found in self.free if found.pad_value is not None}
        return pads if len(pads) == len(self.free) else None

    @cached_property
    def text_input(self) -> Input | None:
        """The only input, if it is one string: an instance may then be that string."""
        only = self.inputs[0]
        return only if len(self.inputs) == 1 and only.is_text and only.shape in ((), (1,)) else None

    @cached_property
    def row_size(self) -> int:
        """Values in a row of the maximum length."""
        return sum(_values(found) for found in self.inputs)

    def rows(self, arrays: Mapping[str, Array]) -> NamedRows:
        """Rows from arrays (n, *shape) by input name, n >= 1, in the inputs' dtypes, with the free axis padded.

        Raises ValueError if a name, dtype or shape differs; values are not checked.
        """
        if arrays.keys() != set(self.names):
            raise ValueError(f"expected the arrays {', '.join(self.names)}; got {', '.join(sorted(arrays)) or 'none'}")
        fixed, free, sizes = {}, {}, set()
        for found in self.inputs:
            array = arrays[found.name]
            kinds = "OU" if found.is_text else np.dtype(found.dtype).kind
            if array.dtype.kind not in kinds or (not found.is_text and array.dtype != found.dtype):
                raise ValueError(f"{found.name!r} has dtype {array.dtype}; expected {found.dtype}")
            if not fits_shape(array.shape, found.shape):
                raise ValueError(f"{found.name!r} has shape {array.shape}; expected {of_many(found.shape)}, n >= 1")
            array = array.astype(object) if array.dtype.kind == "U" else np.ascontiguousarray(array)
            axis = free_axis(found)
            sizes.add((len(array), None if axis is None else array.shape[1 + axis]))
            if axis is None:
                fixed[found.name] = array
            else:
                free[found.name] = free_first(array, axis)
        counts, lengths = {count for count, _ in sizes}, {length for _, length in sizes if length is not None}
        if len(counts) > 1 or len(lengths) > 1:
            raise ValueError("the arrays differ in their number of rows, or in the length of their free axis")
        if not lengths:
            return NamedRows(fixed)
        offsets = np.arange(counts.pop() + 1, dtype=np.int64) * lengths.pop()
        return NamedRows(fixed, *self.trimmed(free, offsets))

    def trimmed(self, free: dict[str, Array], offsets: Positions) -> tuple[dict[str, Array], Positions]:
        """Values (total, *rest) of the inputs with a free axis, and the offsets (n + 1,) of rows, without padding."""
        if self.pads is None or not offsets[-1]:
            return free, offsets
        is_used = np.zeros(offsets[-1], np.bool_)
        for name, array in free.items():
            is_used |= (array != self.pads[name]).reshape(len(array), -1).any(axis=1)
        lengths = np.diff(offsets)
        if is_used[offsets[1:][lengths > 0] - 1].all():
            return free, offsets
        used = np.flatnonzero(is_used)
        rows = np.searchsorted(offsets, used, "right") - 1
        kept = np.minimum(lengths, 1)
        np.maximum.at(kept, rows, used - offsets[rows] + 1)
        cut = NamedRows({}, free, offsets)
        new = offsets_of(kept)
        places = np.arange(new[-1]) + np.repeat(offsets[:-1] - new[:-1], kept)
        return {name: array[places] for name, array in cut.free.items()}, new

    def feeds(self, rows: NamedRows) -> dict[str, Array]:
        """The graph's inputs: arrays (n, *shape) by name, padded to the longest of the rows, strings as objects.

        Raises ValueError if the rows differ in length and cannot be padded.
        """
        if not self.free:
            return rows.fixed
        lengths = rows.lengths
        longest = int(lengths.max())
        if self.pads is None and (lengths != longest).any():
            raise ValueError("rows of different lengths cannot run together: the bundle has no pad_value")
        feeds = dict(rows.fixed)
        for found in self.free:
            padded = rows.padded(found.name, found.pad_value or 0, longest)
            feeds[found.name] = np.ascontiguousarray(np.moveaxis(padded, 1, 1 + (free_axis(found) or 0)))
        return feeds

    def arrays(self, rows: NamedRows) -> dict[str, Array]:
        """The inverse of `rows`, for files: padded, strings in fixed-width Unicode."""
        return {
            name: array.astype(np.str_) if array.dtype.kind == "O" else array
            for name, array in self.feeds(rows).items()
        }

    def npz(self, rows: NamedRows) -> bytes:
        """The rows as the body of a request, application/x-npz."""
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **self.arrays(rows))
        return stream.getvalue()

    def blank(self, count: int, length: int = 1) -> NamedRows:
        """Rows of zeros, or of the minimum; of "", or of the first category; with a free axis of `length`."""
        fixed, free = {}, {}
        for found in self.inputs:
            axis = free_axis(found)
            shape = tuple(size or length for size in found.shape)
            if found.is_text:
                array: Array = np.full((count, *shape), found.categories[0] if found.categories else "", object)
            else:
                minimum = found.range[0] if found.range else None
                array = np.full((count, *shape), minimum or 0, found.dtype)
            if axis is None:
                fixed[found.name] = array
            else:
                free[found.name] = free_first(array, axis)
        return NamedRows(fixed, free, np.arange(count + 1, dtype=np.int64) * length if free else None)

    def check(self, rows: NamedRows) -> None:
        """Raises ValueError for values that a client could not send."""
        for found in self.inputs:
            array = rows.free[found.name] if None in found.shape else rows.fixed[found.name]
            problem = value_problem(array, found)
            if problem is not None:
                raise ValueError(f"{found.name!r}: {problem}")
        if rows.offsets is not None and self.maximum is not None:
            lengths = rows.lengths
            if lengths.min() < 1 or lengths.max() > self.maximum:
                raise ValueError(f"a row has length {lengths.max() or 0}; expected 1 to {self.maximum}")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [field.key for each in self.inputs for field in _fields(each)]
        if (double := first_double(keys)) is not None:
            raise ValueError(f"two columns or inputs are called {double[:64]!r}")
        if len({found.maximum for found in self.free}) > 1:
            raise ValueError("inputs with a free axis must have the same maximum: their lengths are the same in a row")
        if (listed := next((each for each in self.free if each.categories is not None), None)) is not None:
            raise ValueError(f"{listed.name}: categories are for inputs without a free axis")
        if sum(_values(each) * _value_bytes(each) for each in self.inputs) > MAX_ROW_BYTES:
            raise ValueError(f"one instance has more than {MAX_ROW_BYTES} bytes")
        if self.tokenizer is not None:
            _check_tokens(self.inputs)
        return self


def _fields(found: Input) -> list[Field]:
    if is_by_column(found):
        assert found.columns is not None
        return [Field(column.name, found, at) for at, column in enumerate(found.columns)]
    return [Field(found.name, found, None)]


def _check_tokens(inputs: tuple[Input, ...]) -> None:
    names = [found.name for found in inputs]
    if "input_ids" not in names or not set(names) <= set(TOKEN_INPUTS):
        raise ValueError(f"a tokenizer fills {', '.join(TOKEN_INPUTS)}; the graph has {', '.join(names)[:200]}")
    for found in inputs:
        if found.shape != (None,) or found.dtype not in ("int32", "int64") or found.pad_value is None:
            raise ValueError(f"{found.name}: a tokenizer needs int32 or int64, shape [null], and a pad_value")


def is_by_column(found: Input) -> bool:
    """Whether a record has a value for each of the input's columns."""
    return found.columns is not None and found.shape == (len(found.columns),)


def free_axis(found: Input) -> int | None:
    """The position of the free axis in a row's shape."""
    return found.shape.index(None) if None in found.shape else None


def free_first(array: Array, axis: int) -> Array:
    """Values (n, *shape) as (n x length, *rest): rows one after another."""
    ordered = np.moveaxis(array, 1 + axis, 1)
    return ordered.reshape(ordered.shape[0] * ordered.shape[1], *ordered.shape[2:])


def fits_shape(sizes: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    """Whether an array of these sizes has rows of this shape, at least one, and none of length 0."""
    return (
        len(sizes) == 1 + len(shape)
        and min(sizes) >= 1
        and all(due is None or size == due for size, due in zip(sizes[1:], shape, strict=True))
    )


def of_many(shape: tuple[int | None, ...]) -> str:
    """The shape of n rows in NumPy's notation: (n, 32, 32, 3), (n, length), (n,)."""
    return f"(n, {', '.join('length' if size is None else str(size) for size in shape)})" if shape else "(n,)"


def _values(found: Input) -> int:
    return math.prod(size or found.maximum or 1 for size in found.shape)


def _value_bytes(found: Input) -> int:
    return _STRING_BYTES if found.is_text else np.dtype(found.dtype).itemsize
