"""Captured inputs by name as columns of a table: `input.age`, `input.workclass`, `input.input_ids`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.bundle.part import Part, Text
from harmgauge.bundle.rows import Array

PREFIX = "input."


class NamedColumns(Part):
    """The columns for rows of `inputs`, without those whose key is in `excluded`. A free axis comes first in its lists.

    With `from_array`, rows are one array whose columns have names.
    """

    inputs: NamedInputs
    excluded: tuple[Text, ...] = ()
    from_array: bool = False

    def kept(self) -> list[str]:
        """The keys of the values that are kept."""
        return [key for key in self.inputs.fields if key not in self.excluded]

    def fields(self) -> list[pa.Field]:
        """The columns' names and types."""
        fields = self.inputs.fields
        return [pa.field(PREFIX + key, _type_of(fields[key].input, fields[key].position)) for key in self.kept()]

    def arrays(self, rows: AnyRows) -> dict[str, pa.Array]:
        """The columns for some rows."""
        named = rows if isinstance(rows, NamedRows) else NamedRows({self.inputs.inputs[0].name: rows})
        columns = {}
        for key in self.kept():
            _, found, position = self.inputs.fields[key]
            if None in found.shape:
                assert named.offsets is not None
                values = _nested(named.free[found.name], found)
                columns[PREFIX + key] = pa.ListArray.from_arrays(pa.array(named.offsets, pa.int32()), values)
            else:
                array = named.fixed[found.name]
                own = _nested(array, found) if position is None else _flat(array[:, position], found)
                columns[PREFIX + key] = own
        return columns

    def blank(self) -> AnyRows:
        """One row."""
        rows = self.inputs.blank(1)
        return next(iter(rows.fixed.values())) if self.from_array else rows


def values_of(row: dict[str, Any]) -> dict[str, Any]:
    """The inputs of a row that was read from a file, by key."""
    return {name.removeprefix(PREFIX): value for name, value in row.items() if name.startswith(PREFIX)}


def as_json(row: dict[str, Any]) -> bytes:
    """The inputs of a row as JSON, in which NaN is null."""
    return json.dumps({key: _finite(value) for key, value in values_of(row).items()}, ensure_ascii=False).encode()


def _finite(value: object) -> object:
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_scalar(found: Input) -> bool:
    return found.shape in ((), (1,))


def _element(found: Input) -> pa.DataType:
    return pa.string() if found.is_text else pa.from_numpy_dtype(np.dtype(found.dtype))


def _rest(found: Input) -> list[int]:
    return [size for size in found.shape if size is not None]


def _type_of(found: Input, position: int | None) -> pa.DataType:
    kind = _element(found)
    if position is not None or _is_scalar(found):
        return kind
    for size in reversed(_rest(found)):
        kind = pa.list_(kind, size)
    return pa.list_(kind) if None in found.shape else kind


def _flat(array: Array, found: Input) -> pa.Array:
    values = array.reshape(-1)
    return pa.array(values.tolist() if found.is_text else np.ascontiguousarray(values), _element(found))


def _nested(array: Array, found: Input) -> pa.Array:
    """Values (n, *rest) as nested lists of fixed size."""
    values = _flat(array, found)
    if _is_scalar(found):
        return values
    for size in reversed(_rest(found)):
        values = pa.FixedSizeListArray.from_arrays(values, size)
    return values
