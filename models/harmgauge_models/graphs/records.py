"""Rows as NumPy records, for graphs with named inputs: a field for each input.

Records index, slice and concatenate like any other array of rows, so only code that looks inside a row must tell them
apart. Strings are objects (`str`). Rows of different lengths are padded to one width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from harmgauge.bundle.rows import Array

TEXT = "text"
"""The field of the text that a row's token ids were made from; not an input of the graph."""

STRING = "tensor(string)"
"""ONNX Runtime's name for strings."""


def are_records(x: Array) -> bool:
    """Whether rows are records with named fields, rather than one array (n, *shape)."""
    return x.dtype.names is not None


def make_records(arrays: Mapping[str, Array]) -> Array:
    """One record for each row, from arrays (n, *shape) by name; strings become objects."""
    dtypes = [
        (name, object if values.dtype.kind in "OUS" else values.dtype, values.shape[1:])
        for name, values in arrays.items()
    ]
    rows = {len(values) for values in arrays.values()}
    (count,) = rows
    made = np.empty(count, np.dtype(dtypes))
    for name, values in arrays.items():
        made[name] = values
    return made


def renamed(x: Array, names: Sequence[str]) -> Array:
    """Records whose fields are called like `names`: exporters write `education-num` as `education_num`.

    Only fields that match just one missing name are renamed.
    """
    there = fields(x)
    missing = [name for name in names if name not in there]
    if not missing:
        return x
    found = {}
    for name in missing:
        alike = [field for field in there if field not in names and _plain(field) == _plain(name)]
        if len(alike) == 1:
            found[alike[0]] = name
    return make_records({found.get(field, field): x[field] for field in there}) if found else x


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name).lower()


def fields(x: Array) -> tuple[str, ...]:
    """The names of the fields of records."""
    return tuple(x.dtype.names or ())


def changed(x: Array, values: Mapping[str, Array]) -> Array:
    """A copy of records with other values in some fields."""
    made = x.copy()
    for name, some in values.items():
        made[name] = some
    return made


def row_lengths(x: Array) -> npt.NDArray[np.intp] | None:
    """The length of each row without padding, (n,), at least 1, from the mask among the fields; None if there is none.

    A mask is 0 for padding; its name contains `mask`.
    """
    name = mask_field(x)
    if name is None or not len(x):
        return None
    filled = x[name] != 0
    lengths = filled.shape[1] - np.argmax(filled[:, ::-1], 1)
    return np.where(filled.any(1), lengths, 1)


def mask_field(x: Array) -> str | None:
    """The field that marks padding; None if there is none."""
    for name in fields(x):
        dtype = x.dtype[name]
        if "mask" in name.lower() and len(dtype.shape) == 1 and dtype.base.kind in "iufb":
            return name
    return None


def feeds(x: Array, inputs: Sequence[Any]) -> dict[str, Array]:
    """Feeds of rows `x` for a session with these `inputs`. Of records, the padding of the longest row is cut off."""
    if not are_records(x):
        return {inputs[0].name: x}
    lengths = row_lengths(x)
    longest = None if lengths is None else int(lengths.max())
    found = {}
    for node in inputs:
        values = x[node.name]
        is_free = len(node.shape) == 2 and not isinstance(node.shape[1], int)
        if longest is not None and is_free and values.ndim == 2 and node.type != STRING:
            values = values[:, :longest]
        found[node.name] = np.ascontiguousarray(values)
    return found


def by_length(x: Array) -> npt.NDArray[np.intp] | None:
    """The order in which rows of similar lengths are neighbours, (n,); None if all are equally long."""
    lengths = row_lengths(x)
    if lengths is None or lengths.min() == lengths.max():
        return None
    return np.argsort(lengths, kind="stable")


def run(session: ort.InferenceSession, outputs: Sequence[str], x: Array) -> list[Array]:
    """Run rows `x` at once. Raises whatever ONNX Runtime raises."""
    made: list[Array] = session.run(list(outputs), feeds(x, session.get_inputs()))
    return made
