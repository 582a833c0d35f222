"""Rows from arrays: those of an `.npz` file, the columns of a table, the tensors of a V2 request."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from harmgauge.api.body.arrays import NOT_MISSING, Place, conform_values
from harmgauge.api.body.named.assemble import assemble, place
from harmgauge.api.body.named.plan import Plan
from harmgauge.api.body.named.values import too_long
from harmgauge.api.said import quoted
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import (
    fits_shape,
    free_axis,
    free_first,
    is_by_column,
    of_many,
)
from harmgauge.bundle.named_rows import NamedRows, Positions, offsets_of
from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Array
from harmgauge.bundle.values import MAX_STRING_CHARACTERS
from harmgauge.errors import TooLarge, Unprocessable, Unreadable

_PIECE_STRINGS = 4096
_MOST_SHARED = 2**16


class Ragged(NamedTuple):
    """Rows of unequal lengths: `values` (total, *rest), one after another, and `lengths` (n,)."""

    values: Array
    lengths: Positions


Arrays = Mapping[str, Array | Ragged]
"""By the name of an input, (n, *shape), or of a column, (n,). Strings are Unicode or objects, None for missing ones."""


def read_npz_rows(body: bytes | bytearray, plan: Plan, max_rows: int, max_bytes: int) -> NamedRows:
    """Read the arrays of an `.npz` body, `max_bytes` in all. Raises Unreadable, TooLarge or Unprocessable."""
    try:
        arrays = read_npz(io.BytesIO(body), max_bytes)
    except ValueError as error:
        raise Unreadable(f"The body is not a valid .npz file: {error}.") from None
    except OSError as error:
        raise Unreadable(f"The body is not a valid .npz file: {error.strerror or error}.") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "iufU":
            raise Unprocessable(f"The array {quoted(name)} has dtype {array.dtype}; send numbers or Unicode strings.")
    return rows_of_arrays(arrays, plan, max_rows)


def rows_of_arrays(arrays: Arrays, plan: Plan, max_rows: int) -> NamedRows:
    """Convert arrays to rows, with their values checked. Raises TooLarge or Unprocessable."""
    arrays = _by_input(arrays, plan)
    fixed: dict[str, Array] = {}
    free: dict[str, Array] = {}
    lengths: dict[str, Positions] = {}
    counts: dict[str, int] = {}
    for found in plan.inputs.inputs:
        given = arrays[found.name]
        axis = free_axis(found)
        if isinstance(given, Ragged):
            values, own = given.values, given.lengths
            if axis != 0 or values.shape[1:] != found.shape[1:]:
                raise Unprocessable(f"The input {quoted(found.name)}: expected {of_many(found.shape)}, got lists.")
        else:
            if not fits_shape(given.shape, found.shape):
                raise Unprocessable(
                    f"The input {quoted(found.name)} has shape {given.shape}; expected {of_many(found.shape)}, n >= 1."
                )
            values, own = given, np.empty(0, np.int64)
            if axis is not None:
                own = np.full(len(given), given.shape[1 + axis], np.int64)
                values = free_first(given, axis)
        counts[found.name] = len(own) if axis is not None else len(values)
        _check_rows(counts, found.name, max_rows)
        checked = checked_values(values, found, plan, None if axis is None else own)
        if axis is None:
            fixed[found.name] = checked
        else:
            free[found.name], lengths[found.name] = checked, own
    return assemble(fixed, free, lengths, plan)


def checked_values(values: Array, found: Input, plan: Plan, lengths: Positions | None) -> Array:
    """Values in the input's dtype: (n, *shape), or (total, *rest) of rows with these lengths. Raises Unprocessable."""

    def named(index: tuple[int, ...]) -> str:
        row = index[0] if lengths is None else int(np.searchsorted(offsets_of(lengths), index[0], "right")) - 1
        key = found.name
        if is_by_column(found) and found.columns is not None:
            key = found.columns[index[1]].name
        return place(row, key)

    if found.is_text:
        return _strings(values, found, named)
    if values.dtype.kind not in "iuf":
        raise Unprocessable(f"The input {quoted(found.name)} has strings; expected {found.dtype}.")
    return conform_values(values, plan.specs[found.name], named)


def _strings(values: Array, found: Input, named: Place) -> Array:
    if values.dtype.kind not in "OU":
        raise Unprocessable(f"The input {quoted(found.name)} has numbers; expected strings.")
    array = _objects(values) if values.dtype.kind == "U" else values
    flat: list[Any] = array.reshape(-1).tolist()
    if None in flat:
        if not found.missing:
            at = np.unravel_index(flat.index(None), array.shape)
            raise Unprocessable(f"{named(tuple(map(int, at)))}: expected a string, got null{NOT_MISSING}.")
        array = np.array([value or "" for value in flat], object).reshape(array.shape)
        flat = array.reshape(-1).tolist()
    if max(map(len, flat), default=0) > MAX_STRING_CHARACTERS:
        first = next(at for at, value in enumerate(flat) if len(value) > MAX_STRING_CHARACTERS)
        at = np.unravel_index(first, array.shape)
        raise Unprocessable(f"{named(tuple(map(int, at)))}: {too_long(flat[first])}")
    return array


def _objects(strings: Array) -> Array:
    """Unicode strings as objects, of which equal ones share their memory: a short one takes 80 bytes."""
    flat = strings.reshape(-1)
    objects = np.empty(flat.size, object)
    seen: dict[str, str] = {}
    for begin in range(0, flat.size, _PIECE_STRINGS):
        piece = flat[begin : begin + _PIECE_STRINGS].tolist()
        objects[begin : begin + len(piece)] = [seen.setdefault(value, value) for value in piece]
        if len(seen) > _MOST_SHARED:
            seen.clear()
    return objects.reshape(strings.shape)


def _by_input(arrays: Arrays, plan: Plan) -> Arrays:
    """The same with the columns of an input put together. Raises Unprocessable for unknown and missing names."""
    names = {*plan.keys, *plan.inputs.names}
    unknown = next((name for name in arrays if name not in names), None)
    if unknown is not None:
        raise Unprocessable(f"Unknown input {quoted(unknown)}; known: {', '.join(map(quoted, list(plan.fields)[:5]))}.")
    whole: dict[str, Array | Ragged] = {}
    for found in plan.inputs.inputs:
        if found.name in arrays:
            given = arrays[found.name]
            if found.shape == (1,) and isinstance(given, np.ndarray) and given.ndim == 1:
                given = given[:, None]  # a table's column
            whole[found.name] = given
            continue
        columns = [column.name for column in found.columns or ()] if is_by_column(found) else [found.name]
        lacking = next((name for name in columns if name not in arrays), None)
        if lacking is not None:
            raise Unprocessable(f"The input {quoted(lacking)} is missing.")
        whole[found.name] = _stacked({name: arrays[name] for name in columns})
    return whole


def _stacked(columns: Arrays) -> Array:
    arrays = []
    for name, column in columns.items():
        if isinstance(column, Ragged) or column.ndim != 1:
            raise Unprocessable(f"The column {quoted(name)}: expected one value for each row.")
        arrays.append(_objects(column) if column.dtype.kind == "U" else column)  # stacking would widen all strings
    if len({len(array) for array in arrays}) > 1:
        raise Unprocessable(f"The columns {quoted(next(iter(columns)))} and others differ in their number of rows.")
    if len({array.dtype.kind in "OU" for array in arrays}) > 1:
        strings = next(name for name, array in zip(columns, arrays, strict=True) if array.dtype.kind in "OU")
        raise Unprocessable(f"The column {quoted(strings)} has strings, but others of the same input have numbers.")
    return np.stack(arrays, axis=1)


def _check_rows(counts: dict[str, int], name: str, max_rows: int) -> None:
    first = next(iter(counts))
    if counts[name] != counts[first]:
        raise Unprocessable(
            f"The inputs differ in their number of rows: {quoted(first)} has {counts[first]}, {quoted(name)} has "
            f"{counts[name]}."
        )
    if counts[name] > max_rows:
        raise TooLarge(f"The request has {counts[name]} instances; expected at most {max_rows}: split it.")
