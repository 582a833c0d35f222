"""Tensors of the protocol: datatype names, and conversion of bytes and nested numbers to arrays and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.api.body.arrays import conform
from harmgauge.api.body.json_body import array_of, number_problem
from harmgauge.api.said import quoted, said, sizes
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import Unprocessable
from harmgauge.inference.correction import correct
from harmgauge.inference.scorer import Scored

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}

DATATYPE_OF = {np.dtype(name): datatype for name, datatype in DATATYPES.items()}
"""The same by NumPy's dtype, whose name takes 10 us to compute."""

BYTES = "BYTES"
"""The datatype of strings."""


def kind_of(dtype: str) -> str:
    """NumPy's kind of a dtype: u, i or f."""
    return np.dtype(dtype).kind


@dataclass(frozen=True)
class OutputSpec:
    """An available output; -1 represents the number of instances."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def outputs(classes: int, *, corrects: bool, error_probability: bool = False) -> list[OutputSpec]:
    """The outputs of a bundle, in their default order.

    `corrects`: the bundle offers a correction; `error_probability`: it offers an error probability, which comes last,
    so that clients that index outputs find the others in the same places.
    """
    offered = [
        OutputSpec("score", "FP32", (-1,)),
        OutputSpec("is_adversarial", "BOOL", (-1,)),
        OutputSpec("predictions", "INT64", (-1,)),
        OutputSpec("probabilities", "FP32", (-1, classes)),
    ]
    if corrects:
        offered += [OutputSpec(name, "INT64", (-1,)) for name in ("corrected", "no_defense", "defense")]
        probabilities = ("corrected_probabilities", "defense_probabilities")
        offered += [OutputSpec(name, "FP32", (-1, classes)) for name in probabilities]
    if error_probability:
        offered.append(OutputSpec("error_probability", "FP32", (-1,)))
    return offered


@lru_cache(maxsize=64)
def number_type(name: str, classes: int) -> tuple[np.dtype[Any], int]:
    """The dtype of an output's numbers, and the count per instance."""
    every = outputs(classes, corrects=True, error_probability=True)
    output = next(output for output in every if output.name == name)
    dtype = next(dtype for dtype, datatype in DATATYPES.items() if datatype == output.datatype)
    return np.dtype(dtype), math.prod(output.shape[1:])


def without_scores(offered: list[OutputSpec]) -> list[OutputSpec]:
    """Only flags and classes: the outputs that do not reveal how sure they are."""
    return [output for output in offered if output.datatype != "FP32"]


def output_arrays(names: Sequence[str], scored: Scored) -> list[npt.NDArray[Any]]:
    """The outputs with these names, little-endian and C-contiguous in their datatypes."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "score": scored.scores,
        "is_adversarial": scored.is_adversarial,
        "predictions": scored.predictions,
        "probabilities": scored.probabilities,
    }
    if scored.error_probability is not None:
        arrays["error_probability"] = scored.error_probability
    if not arrays.keys() >= set(names):
        arrays |= vars(correct(scored))
    return [np.ascontiguousarray(arrays[name]) for name in names]


def check_input(name: object, datatype: object, spec: InputSpec) -> None:
    """Raises Unprocessable if an input tensor has an unexpected name or datatype."""
    if name != spec.name:
        raise Unprocessable(f"Unknown input {quoted(name)}; expected {spec.name!r}.")
    expected = DATATYPES[spec.dtype]
    if datatype != expected:
        raise Unprocessable(f"The input's datatype is {quoted(datatype)}; expected {expected}.")


def check_outputs(names: list[Any], offered: list[OutputSpec]) -> list[str]:
    """The requested outputs, in order: all of them if none is named. Raises Unprocessable."""
    known = [output.name for output in offered]
    for name in names:
        if name not in known:
            raise Unprocessable(f"Unknown output {quoted(name)}; known: {', '.join(known)}.")
    if len(set(names)) < len(names):
        raise Unprocessable("'outputs' names an output twice.")
    return names or known


def check_shape(shape: object, spec: InputSpec) -> tuple[int, ...]:
    """The shape of an input tensor, if the bundle accepts it."""
    expected = f"[n, {', '.join(map(str, spec.shape))}], n >= 1"
    if not isinstance(shape, list) or not all(isinstance(size, int) and not isinstance(size, bool) for size in shape):
        raise Unprocessable(f"The input's shape must be a list of whole numbers: {expected}.")
    if tuple(shape[1:]) != spec.shape or shape[0] < 1:
        raise Unprocessable(f"The input has shape {sizes(shape)}; expected {expected}.")
    return tuple(shape)


def from_bytes(data: memoryview, shape: tuple[int, ...], spec: InputSpec) -> Rows:
    """Interpret a tensor's little-endian bytes as rows, without copying them."""
    needed_bytes = shape[0] * spec.row_bytes
    if len(data) != needed_bytes:
        raise Unprocessable(f"The input's shape {sizes(shape)} needs {needed_bytes} bytes; got {len(data)}.")
    return conform(np.frombuffer(data, spec.numpy_dtype.newbyteorder("<")).reshape(shape), spec)


def from_numbers(data: object, shape: tuple[int, ...], spec: InputSpec) -> Rows:
    """Convert a tensor's numbers, flat or nested as its shape, to rows."""
    if not isinstance(data, list):
        raise Unprocessable(f"The input's data: expected a list of numbers or a binary tensor, got {said(data)}.")
    problem = _first_problem(data, len(shape), "data", spec)  # before NumPy, which would pad all strings to one length
    if problem is not None:
        raise Unprocessable(f"The input's {problem}.")
    try:
        array = array_of(data, spec)
    except (TypeError, ValueError, OverflowError):
        raise Unprocessable(
            f"The input's data is ragged; expected a flat list, or one nested as {sizes(shape)}."
        ) from None
    return from_array(array, shape, spec)


def from_array(array: Rows, shape: tuple[int, ...], spec: InputSpec) -> Rows:
    """Convert numbers of any dtype, flat or of the shape that their tensor declares, to rows."""
    if array.ndim != 1 and array.shape != shape:
        raise Unprocessable(f"The input's data is nested as {sizes(array.shape)}; its shape is {sizes(shape)}.")
    check_size(array.size, shape)
    return conform(array.reshape(shape), spec)


def check_size(size: int, shape: tuple[int, ...]) -> None:
    """Raises Unprocessable if the number of values does not match the shape."""
    needed = math.prod(shape)  # exact: the shape may be arbitrarily large
    if size != needed:
        raise Unprocessable(f"The input's data has {size} numbers; its shape {sizes(shape)} needs {needed}.")


def _first_problem(data: list[Any], depth: int, path: str, spec: InputSpec) -> str | None:
    """Why lists, nested at most this deep, contain anything but numbers."""
    for index, value in enumerate(data):
        if type(value) in (int, float):
            continue
        where = f"{path}[{index}]"
        if not isinstance(value, list) or depth == 1:
            found = number_problem(value, spec)
            if found is None:
                continue
            return f"{where}: {found}"
        problem = _first_problem(value, depth - 1, where, spec)
        if problem is not None:
            return problem
    return None
