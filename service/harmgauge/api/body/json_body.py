"""Reads instances from JSON: plain bodies the fast way; any other body is validated element by element before NumPy
reads it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import orjson

from harmgauge.api.body.arrays import NOT_MISSING, conform, of_many
from harmgauge.api.body.fast_json import read_numbers
from harmgauge.api.body.json_frame import MARK, cut_out
from harmgauge.api.body.steps import Steps
from harmgauge.api.said import json_error, quoted, said
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import InvalidParameters, Unprocessable, Unreadable

LEAST_BYTES = 256
"""Shorter bodies go to the general reader, which is as fast for them."""

MAX_LOOSE_BYTES = 64 * 2**10
"""Nested lists take twenty times the body's memory, and block every thread while they are built: 1 ms at this size."""


class Plain(NamedTuple):
    """A plain body: 64-bit `numbers` (n, *shape), with NaN for null, of which only the nesting is checked; unchecked
    `parameters`.
    """

    numbers: Rows
    parameters: dict[str, Any]


def read_json(body: bytes | bytearray, spec: InputSpec) -> Steps[tuple[Rows, dict[str, Any]]]:
    """Read `{"instances": [...], "parameters": {...}}`; returns the parameters unchecked.

    null is a missing value. Raises Unreadable if it is not JSON (NaN and Infinity are not), Unprocessable or
    InvalidParameters.
    """
    plain = (yield from read_plain(body, spec)) if len(body) >= LEAST_BYTES else None
    if plain is not None:
        return conform(plain.numbers, spec), plain.parameters
    if len(body) > MAX_LOOSE_BYTES:
        raise Unprocessable(
            f"'instances' is not a list of numbers of shape {of_many(spec.shape)}, or the body has fields other than "
            f"'instances' and 'parameters'; a body above {MAX_LOOSE_BYTES} bytes is not examined further: send less at "
            "once for details, or send a .npy array."
        )
    return read_loose(body, spec)


def read_plain(body: bytes | bytearray, spec: InputSpec) -> Steps[Plain | None]:
    """Read the numbers and parameters of a plain body; None if the body does not have this form.

    None does not imply an error: the slower reader decides.
    """
    framed = cut_out(body, len(body), b"instances")
    if framed is None:
        return None
    document = framed.document
    if not isinstance(document, dict) or not document.keys() <= {"instances", "parameters"}:
        return None
    parameters = document.get("parameters")
    if document.get("instances") != MARK or not isinstance(parameters, dict | None):
        return None
    kind = spec.numpy_dtype.kind
    numbers = yield from read_numbers(body, framed.begin, framed.end, spec.shape, kind, nulls=spec.missing)
    return None if numbers is None else Plain(numbers, parameters or {})


def read_loose(body: bytes | bytearray, spec: InputSpec) -> tuple[Rows, dict[str, Any]]:
    """Read any body, including plain ones: slower, and with better error messages."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The body cannot be read as JSON: {json_error(error)}.") from None
    if not isinstance(document, dict) or "instances" not in document:
        raise Unprocessable('The body must be an object like {"instances": [...]}.')
    unknown = sorted(document.keys() - {"instances", "parameters"})
    if unknown:
        raise Unprocessable(f"Unknown field {quoted(unknown[0])}; known: 'instances' and 'parameters'.")
    parameters = document.get("parameters")
    if not isinstance(parameters, dict | None):
        raise InvalidParameters(f"'parameters': expected an object, got {said(parameters)}.")
    return _to_array(document["instances"], spec), parameters or {}


def _to_array(instances: object, spec: InputSpec) -> Rows:
    # Validate before calling NumPy, which would turn one long string among n numbers into n strings of that length.
    problem = _first_problem(instances, (None, *spec.shape), "instances", spec)
    if problem is not None:
        raise Unprocessable(problem)
    return conform(array_of(instances, spec), spec)


def array_of(numbers: object, spec: InputSpec) -> Rows:
    """Convert nested lists of numbers to an array with the dtype that the fast reader would choose. Raises ValueError
    if they are ragged.
    """
    if spec.numpy_dtype.kind == "f":
        return np.array(numbers, np.float64)  # NumPy turns None into NaN
    array = np.array(numbers)
    # Well-formed, but contains whole numbers beyond 64 bits.
    return np.array(numbers, np.float64) if array.dtype.kind == "O" else array


def number_problem(value: object, spec: InputSpec) -> str | None:
    """Why `value` is neither a number nor an allowed null; true and false are not numbers. None if it is valid."""
    if type(value) in (int, float) or (value is None and spec.missing):
        return None
    if value is None:
        return f"expected a number, got null{NOT_MISSING}"
    return f"expected a number{', or null for a missing value' if spec.missing else ''}, got {said(value)}"


def _first_problem(value: object, shape: tuple[int | None, ...], path: str, spec: InputSpec) -> str | None:
    """Why `value` is not nested lists of numbers of this shape, in which None means any length but 0."""
    if not shape:
        problem = number_problem(value, spec)
        return None if problem is None else f"{path}: {problem}."
    length = shape[0]
    expected = "a list of instances" if length is None else f"a list of length {length}"
    if not isinstance(value, list):
        return f"{path}: expected {expected}, got {said(value)}."
    if length is None and not value:
        return f"{path}: expected at least one instance, got an empty list."
    if length is not None and len(value) != length:
        return f"{path}: expected {length} elements, got {len(value)}."
    for index, element in enumerate(value):
        problem = _first_problem(element, shape[1:], f"{path}[{index}]", spec)
        if problem is not None:
            return problem
    return None
