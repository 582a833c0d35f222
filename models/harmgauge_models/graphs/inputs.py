"""A graph's inputs as its file declares them, in the bundle's terms, and rows of data in their form."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.part import Dtype
from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records

SHOWN_CHARACTERS = 40
"""Length of a value in a message."""

DtypeOrString = Dtype | Literal["string"]


def dtype_of(value: onnx.ValueInfoProto, what: str) -> DtypeOrString:
    """The dtype of a graph's input. Raises UserError if harmgauge cannot serve it."""
    element = value.type.tensor_type.elem_type
    if element == TensorProto.STRING:
        return "string"
    if element == TensorProto.UNDEFINED:
        raise UserError(f"the input {value.name!r} of {what} is not a tensor of numbers or strings; export it as one")
    name = str(helper.tensor_dtype_to_np_dtype(element))
    if name not in get_args(Dtype):
        raise UserError(
            f"the input {value.name!r} of {what} is {name}; expected string or one of {', '.join(get_args(Dtype))}"
        )
    return cast("Dtype", name)


def declared(values: Sequence[onnx.ValueInfoProto], x: Array, what: str) -> tuple[Input, ...]:
    """The named inputs of a graph; axes without a declared size have the size that the records `x` have.

    Raises UserError if a field is missing, or has another shape.
    """
    x = records.renamed(x, [value.name for value in values])
    _check_there([value.name for value in values], x, what)
    return tuple(_declared(value, x, what) for value in values)


def _declared(value: onnx.ValueInfoProto, x: Array, what: str) -> Input:
    dtype, dimensions = dtype_of(value, what), value.type.tensor_type.shape.dim
    given: tuple[int, ...] = x.dtype[value.name].shape
    rank = len(dimensions) - 1
    if given == () and rank == 1:
        given = (1,)
    if given == (1,) and rank == 0:
        given = ()
    sizes = [dimension.dim_value or None for dimension in dimensions][1:]
    if rank != len(given) or any(size not in (None, has) for size, has in zip(sizes, given, strict=True)):
        expected = ", ".join("any" if size is None else str(size) for size in sizes)
        raise UserError(
            f"the input {value.name!r} of {what} expects rows of shape ({expected}), but {value.name!r} in the data "
            f"has rows of shape {given}"
        )
    return Input(name=value.name, dtype=dtype, shape=given)


def _check_there(names: Sequence[str], x: Array, what: str) -> None:
    there = records.fields(x)
    missing = [name for name in names if name not in there]
    if missing:
        close = difflib.get_close_matches(missing[0], there, 3) or list(there[:8])
        raise UserError(
            f"{what} has the inputs {_listed(names)}, but the data have no {_listed(missing)}: name arrays and columns "
            f"like the inputs (there are {_listed(close)})"
        )


def stacked(x: Array, names: Sequence[str] | None, what: str) -> tuple[Array, tuple[str, ...]]:
    """The columns of a table, one number each, as one array (n, d), and their names: `names` in this order, or all.

    Raises UserError if a column is missing, or is no numbers.
    """
    chosen = tuple(names or records.fields(x))
    _check_there(chosen, x, what)
    columns = []
    for name in chosen:
        values = x[name].reshape(len(x), -1)
        if values.shape[1] != 1:
            raise UserError(
                f"{what} has one input of numbers, but {name!r} in the data has rows of {x[name].shape[1:]}"
            )
        columns.append(numbers(values[:, 0], name, what))
    dtype = np.result_type(*columns)
    return np.stack([column.astype(dtype) for column in columns], axis=1), chosen


def fit_records(x: Array, inputs: Sequence[Input], what: str) -> Array:
    """Records with a field for each of `inputs` in its dtype, and the text that they were made from, if there is one.

    A free axis has any length up to its maximum. Raises UserError, naming the input and the row.
    """
    x = records.renamed(x, [taken.name for taken in inputs])
    _check_there([taken.name for taken in inputs], x, what)
    arrays = {taken.name: _fit(x[taken.name], taken, what) for taken in inputs}
    if records.TEXT in records.fields(x) and records.TEXT not in arrays:
        arrays[records.TEXT] = x[records.TEXT]
    return records.make_records(arrays)


def _fit(values: Array, taken: Input, what: str) -> Array:
    name = taken.name
    if values.ndim == 1 and taken.shape == (1,):
        values = values[:, None]
    if values.ndim == 2 and values.shape[1] == 1 and taken.shape == ():
        values = values[:, 0]
    expected = taken.shape
    sizes = values.shape[1:]
    most = taken.maximum or 0
    if len(sizes) != len(expected) or any(
        size > most if wanted is None else size != wanted for size, wanted in zip(sizes, expected, strict=True)
    ):
        shown = ", ".join(f"1 to {most}" if wanted is None else str(wanted) for wanted in expected)
        raise UserError(f"{what} expects rows of ({shown}) for {name!r}; the data have rows of {sizes}")
    if taken.dtype == "string":
        return strings(values, name, what, missing=taken.missing)
    found = numbers(values, name, what) if values.dtype.kind in "OUS" else values
    return fit_array(found, taken.dtype, found.shape[1:], f"{what}, input {name!r},")


def strings(values: Array, name: str, what: str, *, missing: bool = False) -> Array:
    """Values (n, ...) as `str` objects; with `missing`, None becomes the empty string. Raises UserError."""
    if values.dtype.kind not in "OUS":
        raise UserError(
            f"{what} expects strings for {name!r}, but the data hold {values.dtype}: save the column as strings, as "
            "the classifier was trained"
        )
    found = values.astype(object)
    flat = found.reshape(-1)
    for place, value in enumerate(flat):
        if isinstance(value, bytes):
            flat[place] = value.decode(errors="replace")
        elif value is None and missing:
            flat[place] = ""
        elif not isinstance(value, str):
            row = place // max(1, len(flat) // max(1, len(found)))
            said = "has no value" if value is None else f"is {str(value)[:SHOWN_CHARACTERS]!r}, not a string"
            raise UserError(
                f"{what} expects strings for {name!r}, which {said} in row {row}: fill the column in as for the "
                "training, or leave these rows out"
            )
    return flat.reshape(found.shape)


def numbers(values: Array, name: str, what: str) -> Array:
    """Values (n, ...) as numbers; text is read as numbers, empty text and None as a missing value.

    Raises UserError, naming the row.
    """
    if values.dtype.kind in "iufb":
        return values
    if values.dtype.kind not in "OUS":
        raise UserError(f"{what} expects numbers for {name!r}, but the data hold {values.dtype}")
    flat = values.reshape(-1)
    found = np.empty(len(flat), np.float64)
    for place, value in enumerate(flat):
        try:
            found[place] = np.nan if value in (None, "") else float(value)
        except (TypeError, ValueError) as error:
            row = place // max(1, len(flat) // max(1, len(values)))
            raise UserError(
                f"{what} expects numbers for {name!r}, which is {str(value)[:SHOWN_CHARACTERS]!r} in row {row}"
            ) from error
    whole = not np.isnan(found).any() and bool((found == np.rint(found)).all()) and bool((np.abs(found) < 2**53).all())
    return (found.astype(np.int64) if whole else found).reshape(values.shape)


def fit_array(x: Array, dtype: Dtype, shape: tuple[int, ...], what: str) -> Array:
    """Convert `x` to the network's input dtype, if that changes only its precision."""
    if x.shape[1:] != shape:
        raise UserError(f"{what} expects rows of shape {shape}; the file has rows of shape {x.shape[1:]}")
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if not np.can_cast(x.dtype, dtype, "same_kind"):
        raise UserError(f"{what} expects {dtype}; the file holds {x.dtype}: save x as {dtype}")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(x, dtype)
    if x.dtype.kind == "f" and (far := np.isfinite(x) & ~np.isfinite(rows)).any():
        raise UserError(f"{what} expects {dtype}, but the file holds {x[far][0]:g}, beyond its range")
    if np.dtype(dtype).kind in "iu" and not np.array_equal(rows, x):
        raise UserError(
            f"{what} expects {dtype}, but the file holds values from {x.min()} to {x.max()}, beyond its range"
        )
    return rows


def missing_at(x: Array) -> npt.NDArray[np.bool_]:
    """Whether each row has a missing value (NaN), (n,)."""
    found = np.zeros(len(x), bool)
    for values in arrays_of(x).values():
        if values.dtype.kind == "f":
            found |= np.isnan(values.reshape(len(x), -1)).any(1)
    return found


def arrays_of(x: Array) -> Mapping[str, Array]:
    """The arrays of records by name; a plain array under an empty name."""
    return {name: x[name] for name in records.fields(x)} if records.are_records(x) else {"": x}


def name_free_axes(value: onnx.ValueInfoProto, axes: int) -> bool:
    """Name an axis that the exporter declared as -1, or all `axes` if it declared no shape; returns whether it did
    either.
    """
    tensor = value.type.tensor_type
    if value.type.HasField("tensor_type") and not tensor.HasField("shape"):
        for index in range(axes):
            tensor.shape.dim.add().dim_param = f"axis_{index}" if index else "n"
        return True
    changed = False
    for index, dimension in enumerate(tensor.shape.dim):
        if dimension.HasField("dim_value") and dimension.dim_value <= 0:
            dimension.dim_param = f"axis_{index}"
            changed = True
    return changed


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")
