"""An independent implementation of rows with inputs by name: one value after another, in Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmgauge.bundle.inputs import Column, Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from tests.fuzz.expected import one_number
from tests.support.toy_named import string_inputs, table_inputs, token_inputs

_NUMBER_COLUMNS = tuple(Column(name=name, kind="number") for name in "abc")
_STRING_COLUMNS = (Column(name="job", kind="category"), Column(name="city", kind="category"))

NAMED: dict[str, NamedInputs] = {
    "table": table_inputs(),
    "refusing": table_inputs(unknown="refuse"),
    "flagging": table_inputs(unknown="flag"),
    "tokens": token_inputs(),
    "unpadded": token_inputs(pad_value=None),
    "strings": string_inputs(),
    "columns": NamedInputs(
        inputs=(
            Input(name="x", dtype="float64", shape=(3,), columns=_NUMBER_COLUMNS, range=(-1e3, 1e3), missing=True),
            Input(name="s", dtype="string", shape=(2,), columns=_STRING_COLUMNS, missing=True),
            Input(name="n", dtype="int32", shape=()),
        )
    ),
    "signals": NamedInputs(
        inputs=(
            Input(name="wave", dtype="float16", shape=(2, None), maximum=6, pad_value=0, missing=True),
            Input(name="words", dtype="string", shape=(None,), maximum=6, missing=True),
            Input(name="grid", dtype="uint8", shape=(2, 2)),
        )
    ),
}

LONGEST_STRING = 2**17


@dataclass(frozen=True)
class _Numbers:
    numpy_dtype: np.dtype[Any]
    minimum: float | None
    maximum: float | None
    missing: bool


WRONG = object()
"""A value that the input does not accept."""


def record_rows(records: list[Any], inputs: NamedInputs) -> list[dict[str, Any]] | None:
    """Rows of records: nested lists by input name; None if one is not accepted."""
    rows = [_record(record, inputs) for record in records]
    return None if not rows or None in rows else rows  # type: ignore[return-value]  # None is not among them


def row_of(values: dict[str, Any], inputs: NamedInputs) -> dict[str, Any] | None:
    """The row of values by input name, with trailing padding cut off."""
    row = {found.name: _value(values[found.name], found.shape, found) for found in inputs.inputs}
    if WRONG in [found for found in row.values() if found is WRONG]:
        return None
    if any(_has_wrong(value) for value in row.values()):
        return None
    free = [found for found in inputs.inputs if None in found.shape]
    if not free:
        return row
    lengths = {_length(row[found.name], found) for found in free}
    if len(lengths) != 1 or 0 in lengths or None in lengths:
        return None
    (length,) = lengths
    assert length is not None
    pads = {found.name: found.pad_value for found in free}
    if None not in pads.values():
        while length > 1 and all(_is_pad(row[found.name], found, length - 1) for found in free):
            length -= 1
        row |= {found.name: _cut(row[found.name], found, length) for found in free}
    maximum = free[0].maximum
    assert maximum is not None
    return row if length <= maximum else None


def same_rows(found: NamedRows, expected: list[dict[str, Any]], inputs: NamedInputs) -> bool:
    """Whether rows have these values, and dtypes as the inputs say."""
    if len(found) != len(expected):
        return False
    for name, array in (*found.fixed.items(), *found.free.items()):
        declared = inputs.by_name[name].dtype
        assert array.dtype == (object if declared == "string" else np.dtype(declared)), f"{name} is {array.dtype}"
    return all(
        _same(_listed(found, at, each), row[each.name]) for at, row in enumerate(expected) for each in inputs.inputs
    )


def _record(record: Any, inputs: NamedInputs) -> dict[str, Any] | None:
    if not isinstance(record, dict):
        return None
    values: dict[str, Any] = {}
    known = set()
    for found in inputs.inputs:
        names = [column.name for column in found.columns] if found.columns is not None else [found.name]
        known |= set(names)
        if any(name not in record for name in names) and not found.missing:
            return None
        own = [record.get(name) for name in names]
        values[found.name] = own if found.columns is not None else own[0]
        if found.shape == (1,) and not isinstance(own[0], list):
            values[found.name] = own
    return row_of(values, inputs) if record.keys() <= known else None


def _value(value: Any, shape: tuple[int | None, ...], found: Input) -> Any:
    if shape:
        if not isinstance(value, list) or (shape[0] is not None and len(value) != shape[0]):
            return WRONG
        return [_value(each, shape[1:], found) for each in value]
    if found.dtype == "string":
        if value is None:
            return "" if found.missing else WRONG
        if not isinstance(value, str) or len(value) > LONGEST_STRING:
            return WRONG
        is_known = found.categories is None or value in found.categories or (found.missing and not value)
        return WRONG if found.unknown == "refuse" and not is_known else value
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        return WRONG
    minimum, maximum = found.range or (None, None)
    if found.vocabulary_size is not None:
        minimum, maximum = 0, found.vocabulary_size - 1
    number = one_number(value, _Numbers(np.dtype(found.dtype), minimum, maximum, found.missing))
    return WRONG if number is None else number


def _has_wrong(value: Any) -> bool:
    return any(map(_has_wrong, value)) if isinstance(value, list) else value is WRONG


def _lists_at_axis(value: Any, found: Input) -> list[list[Any]]:
    """All lists along the free axis."""
    level = [value]
    for _ in range(found.shape.index(None)):
        level = [each for item in level for each in item]
    return level


def _length(value: Any, found: Input) -> int | None:
    lengths = {len(each) for each in _lists_at_axis(value, found)}
    return lengths.pop() if len(lengths) == 1 else None


def _is_pad(value: Any, found: Input, at: int) -> bool:
    flat = [each[at] for each in _lists_at_axis(value, found)]
    while flat and isinstance(flat[0], list):
        flat = [each for item in flat for each in item]
    return all(each == found.pad_value for each in flat)


def _cut(value: Any, found: Input, length: int) -> Any:
    def inner(level: Any, axis: int) -> Any:
        return level[:length] if axis == 0 else [inner(each, axis - 1) for each in level]

    return inner(value, found.shape.index(None))


def _listed(rows: NamedRows, at: int, found: Input) -> Any:
    if None not in found.shape:
        return rows.fixed[found.name][at].tolist() if found.shape else rows.fixed[found.name][at]
    assert rows.offsets is not None
    own = rows.free[found.name][rows.offsets[at] : rows.offsets[at + 1]]
    return np.moveaxis(own, 0, found.shape.index(None)).tolist()


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(_same, found, expected))
    both_missing = isinstance(found, float) and math.isnan(found) and math.isnan(expected)
    return bool(found == expected or both_missing)
