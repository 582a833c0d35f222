"""Rows from records: values that a JSON parser has read, by key."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from harmgauge.api.body.arrays import NOT_MISSING, Place, conform_values
from harmgauge.api.body.named.assemble import assemble, place
from harmgauge.api.body.named.plan import NumberSpec, Plan
from harmgauge.api.said import quoted, said
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import Field, free_axis
from harmgauge.bundle.named_rows import NamedRows, Positions, offsets_of
from harmgauge.bundle.rows import Array
from harmgauge.bundle.values import MAX_STRING_CHARACTERS
from harmgauge.errors import Unprocessable

_NUMBERS = {int, float}
_MOST_KEYS = 5
"""Keys listed in an error."""


def rows_of_records(records: Sequence[Any], plan: Plan, first: int = 0) -> NamedRows:
    """Convert records to rows; `first` is the number of the first one in its request. Raises Unprocessable."""
    columns = _columns(records, plan, first)
    parts: dict[tuple[str, int | None], Array] = {}
    for spec, fields in plan.number_groups:
        matrix = _numbers([columns[field.key] for field in fields], fields, spec, first)
        for field, row in zip(fields, matrix, strict=True):
            parts[field.input.name, field.position] = row
    for field in plan.strings:
        parts[field.input.name, field.position] = _strings(columns[field.key], field, first)
    fixed: dict[str, Array] = {}
    for found in plan.inputs.inputs:
        whole = parts.get((found.name, None))
        if whole is not None:
            fixed[found.name] = whole[:, None] if found.shape else whole
        elif (found.name, 0) in parts:
            assert found.columns is not None
            fixed[found.name] = np.stack([parts[found.name, at] for at in range(len(found.columns))], axis=1)
    return _with_lists(fixed, {field.key: columns[field.key] for field in plan.lists}, plan, first)


def rows_of_lists(values: Sequence[Any], plan: Plan, first: int = 0) -> NamedRows:
    """The same for a bundle of one input whose instances are lists."""
    field = plan.only_list
    assert field is not None
    return _with_lists({}, {field.key: values}, plan, first)


def _with_lists(fixed: dict[str, Array], values: dict[str, Sequence[Any]], plan: Plan, first: int) -> NamedRows:
    free: dict[str, Array] = {}
    lengths: dict[str, Positions] = {}
    for key, column in values.items():
        field = plan.fields[key]
        flat = _flat(column, field, first)
        array = _checked(flat, field, plan, first)
        axis = free_axis(field.input)
        if axis is None:
            fixed[key] = array.reshape(len(column), *_sizes(field.input))
        else:
            lengths[key] = np.array(flat.lengths, np.int64)
            free[key] = _free_first(array, flat.lengths, field.input, axis)
    return assemble(fixed, free, lengths, plan, first)


def _columns(records: Sequence[Any], plan: Plan, first: int) -> dict[str, Sequence[Any]]:
    """The values (n,) of each key, None for missing ones. Raises Unprocessable."""
    complete = True
    for at, record in enumerate(records):
        if type(record) is not dict:
            raise Unprocessable(f"instances[{first + at}]: expected an object{_like(plan)}, got {said(record)}.")
        if record.keys() == plan.keys:
            continue
        complete = False
        unknown = sorted(record.keys() - plan.keys)
        if unknown:
            raise Unprocessable(
                f"instances[{first + at}] has the unknown key {quoted(unknown[0])}; known: {_known(plan)}."
            )
        lacking = [key for key in plan.fields if key in plan.needed and key not in record]
        if lacking:
            raise Unprocessable(f"instances[{first + at}] lacks {quoted(lacking[0])}; expected {_known(plan)}.")
    if complete:
        return dict(zip(plan.fields, zip(*map(plan.values_of, records), strict=True), strict=True))
    return {key: [record.get(key) for record in records] for key in plan.fields}


def _known(plan: Plan) -> str:
    shown = ", ".join(quoted(key) for key in list(plan.fields)[:_MOST_KEYS])
    left = len(plan.fields) - _MOST_KEYS
    return f"{shown} and {left} more (GET /info lists them)" if left > 0 else shown


def _like(plan: Plan) -> str:
    return f" like {{{quoted(next(iter(plan.fields)))}: ...}}"


def _unwrapped(values: Sequence[Any], field: Field) -> Sequence[Any]:
    """The same with 7 for [7], if the input has one axis of length 1."""
    if field.position is not None or field.input.shape != (1,):
        return values
    return [value[0] if type(value) is list and len(value) == 1 else value for value in values]


def _numbers(columns: list[Sequence[Any]], fields: list[Field], spec: NumberSpec, first: int) -> Array:
    """Numbers (columns, n) in the inputs' dtype."""
    for at, values in enumerate(columns):
        kinds = set(map(type, values))
        if not kinds <= _NUMBERS and not (spec.missing and kinds <= {*_NUMBERS, type(None)}):
            columns[at] = _unwrapped(values, fields[at])
            for row, value in enumerate(columns[at]):
                if (problem := _number_problem(value, missing=spec.missing)) is not None:
                    raise Unprocessable(f"{place(first + row, fields[at].key)}: {problem}.")
    return conform_values(_array(columns, spec), spec, lambda index: place(first + index[1], fields[index[0]].key))


def _array(numbers: list[Any], spec: NumberSpec) -> Array:
    """Numbers of JSON as the dtype that keeps them exact, if possible; None as NaN."""
    if spec.numpy_dtype.kind == "f":
        return np.array(numbers, np.float64)
    array = np.array(numbers)
    return np.array(numbers, np.float64) if array.dtype.kind == "O" else array


def _number_problem(value: object, *, missing: bool) -> str | None:
    if type(value) in _NUMBERS or (value is None and missing):
        return None
    if value is None:
        return f"expected a number, got null{NOT_MISSING}"
    return f"expected a number{', or null for a missing value' if missing else ''}, got {said(value)}"


def _strings(values: Sequence[Any], field: Field, first: int) -> Array:
    """Strings (n,) as objects; "" for null."""
    kinds = set(map(type, values))
    if kinds != {str}:
        values = _unwrapped(values, field)
        for row, value in enumerate(values):
            if (problem := _string_problem(value, missing=field.input.missing)) is not None:
                raise Unprocessable(f"{place(first + row, field.key)}: {problem}.")
        values = [value or "" for value in values]
    if max(map(len, values)) > MAX_STRING_CHARACTERS:
        row = next(row for row, value in enumerate(values) if len(value) > MAX_STRING_CHARACTERS)
        raise Unprocessable(f"{place(first + row, field.key)}: {too_long(values[row])}")
    array = np.empty(len(values), object)
    array[:] = values
    return array


def too_long(value: str) -> str:
    return f"the string has {len(value)} characters; expected at most {MAX_STRING_CHARACTERS}."


def _string_problem(value: object, *, missing: bool) -> str | None:
    if type(value) is str or (value is None and missing):
        return None
    if value is None:
        return f"expected a string, got null{NOT_MISSING}"
    return f"expected a string{', or null for a missing value' if missing else ''}, got {said(value)}"


class _Flat(NamedTuple):
    """The values of nested lists in C order, and the length of each row's free axis."""

    values: list[Any]
    lengths: list[int]


def _flat(column: Sequence[Any], field: Field, first: int) -> _Flat:
    """The values of nested lists of the input's shape, unchecked. Raises Unprocessable for another nesting."""
    level, lengths, per_row = list(column), list[int](), 1
    for due in field.input.shape:
        sizes = list(map(len, level)) if set(map(type, level)) <= {list} else None
        if sizes is not None and due is None:
            lengths = sizes[::per_row]
            if per_row > 1 and any(sizes[at] != lengths[at // per_row] for at in range(len(sizes))):
                sizes = None
        if sizes is None or (due is not None and set(sizes) != {due}):
            raise Unprocessable(_nesting_problem(column, field, first))
        level = list(chain.from_iterable(level))
        per_row *= due or 1
    return _Flat(level, lengths)


def _nesting_problem(column: Sequence[Any], field: Field, first: int) -> str:
    """Why the column is not nested lists of the input's shape."""
    for row, value in enumerate(column):
        problem = _problem_in(value, field.input.shape, place(first + row, field.key))
        if problem is not None:
            return problem
    return f"{place(first, field.key)}: expected rows of shape {_shown(field.input)}."


def _problem_in(value: object, shape: tuple[int | None, ...], path: str) -> str | None:
    if not shape:
        return None
    due = shape[0]
    if type(value) is not list:
        return f"{path}: expected a list{'' if due is None else f' of length {due}'}, got {said(value)}."
    if due is not None and len(value) != due:
        return f"{path}: expected {due} elements, got {len(value)}."
    if len(shape) > 1 and shape[1] is None and len({len(each) for each in value if type(each) is list}) > 1:
        return f"{path}: expected lists of one length."
    for at, each in enumerate(value):
        problem = _problem_in(each, shape[1:], f"{path}[{at}]")
        if problem is not None:
            return problem
    return None


def _shown(found: Input) -> str:
    return str(["length" if size is None else size for size in found.shape]).replace("'", "")


def _checked(flat: _Flat, field: Field, plan: Plan, first: int) -> Array:
    """The values of lists, (total,), in the input's dtype."""
    found = field.input
    per_row = int(np.prod([size or 1 for size in found.shape]))
    rows = len(flat.lengths)

    def row_of(at: int) -> int:
        if not rows:
            return at // per_row
        return int(np.searchsorted(offsets_of(np.array(flat.lengths)) * per_row, at, "right")) - 1

    def named(index: tuple[int, ...]) -> str:
        return place(first + row_of(index[0]), field.key)

    if found.is_text:
        return _strings_in(flat.values, field, named)
    spec = plan.specs[found.name]
    kinds = set(map(type, flat.values))
    if not kinds <= _NUMBERS and not (spec.missing and kinds <= {*_NUMBERS, type(None)}):
        for at, value in enumerate(flat.values):
            if (problem := _number_problem(value, missing=spec.missing)) is not None:
                raise Unprocessable(f"{named((at,))}: {problem}.")
    return conform_values(_array(flat.values, spec), spec, named)


def _strings_in(values: list[Any], field: Field, named: Place) -> Array:
    for at, value in enumerate(values):
        if (problem := _string_problem(value, missing=field.input.missing)) is not None:
            raise Unprocessable(f"{named((at,))}: {problem}.")
        if value is not None and len(value) > MAX_STRING_CHARACTERS:
            raise Unprocessable(f"{named((at,))}: {too_long(value)}")
    array = np.empty(len(values), object)
    array[:] = [value or "" for value in values]
    return array


def _sizes(found: Input) -> list[int]:
    """The row's shape without the free axis."""
    return [size for size in found.shape if size is not None]


def _free_first(array: Array, lengths: list[int], found: Input, axis: int) -> Array:
    """Values of rows in C order, (total,), with the free axis of each row first: (total, *rest)."""
    rest = _sizes(found)
    before = rest[:axis]
    if axis == 0:
        return array.reshape(-1, *rest)
    per_row = int(np.prod(rest))
    ends = offsets_of(np.array(lengths)) * per_row
    rows = [
        np.moveaxis(array[ends[at] : ends[at + 1]].reshape(*before, length, *rest[axis:]), axis, 0)
        for at, length in enumerate(lengths)
    ]
    return np.ascontiguousarray(np.concatenate(rows))
