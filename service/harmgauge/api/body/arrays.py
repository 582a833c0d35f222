"""Reads instances from binary bodies, and checks every array before it is scored."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from harmgauge.api.said import number
from harmgauge.bundle.npy_header import MAX_HEAD_BYTES, read_npy_header
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import Unprocessable, Unreadable

NOT_MISSING = "; this input accepts no missing values: impute them as in the classifier's training"
"""The remedy that follows the value in an error."""

Place = Callable[[tuple[int, ...]], str]
"""The name of a value in an error, from its index."""


class Numbers(Protocol):
    """The numbers that an input accepts."""

    @property
    def dtype(self) -> str: ...
    @property
    def numpy_dtype(self) -> np.dtype[Any]: ...
    @property
    def minimum(self) -> float | None: ...
    @property
    def maximum(self) -> float | None: ...
    @property
    def missing(self) -> bool: ...


def in_instances(index: tuple[int, ...]) -> str:
    """The place of a number in one array of instances."""
    return "instances" + "".join(f"[{axis}]" for axis in index)


_MOST_EXACT = 2**53 - 1
"""Above this, a floating-point number may be the rounded form of a different whole number."""


def read_npy(body: bytes | bytearray, spec: InputSpec) -> Rows:
    """Read one `.npy` array of any numeric dtype whose values fit the input. Pickled objects are never loaded."""
    stream = io.BytesIO(body[:MAX_HEAD_BYTES])  # copies anything but `bytes`
    try:
        shape, fortran_order, dtype = read_npy_header(stream)
    except ValueError as error:
        raise Unreadable(f"The body is not a valid .npy array: {error}.") from None
    if dtype.hasobject:
        raise Unprocessable("The .npy array holds pickled objects, which are never loaded; send numbers.")
    if dtype.kind not in "iuf":
        raise Unprocessable(f"The .npy array has dtype {dtype}; send {spec.dtype}.")
    if shape[1:] != spec.shape or not shape or shape[0] < 1:
        raise _wrong_shape(shape, spec)
    data = memoryview(body)[stream.tell() :]
    due_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize  # exact: the header may claim any size
    if len(data) != due_bytes:
        raise Unreadable(f"The .npy header declares {due_bytes} bytes of data; got {len(data)}.")
    return conform(np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C"), spec)


def read_raw(body: bytes | bytearray, spec: InputSpec) -> Rows:
    """Read the array's little-endian bytes in the bundle's dtype; their length gives the number of instances."""
    if len(body) % spec.row_bytes:
        raise Unprocessable(
            f"The body has {len(body)} bytes; expected a multiple of {spec.row_bytes}, the size of one instance "
            f"({spec.dtype}, shape {spec.shape})."
        )
    return conform(np.frombuffer(body, spec.wire_dtype).reshape(-1, *spec.shape), spec)


def conform(array: Rows, spec: InputSpec) -> Rows:
    """Convert numbers (n, *shape) of any dtype to C-contiguous rows in the bundle's dtype without changing a value.

    Raises Unprocessable, naming the first such value, for fractions in an integer input, values out of range or too
    large for a narrower float, and whole numbers beyond 2**53 sent as floats. Values of a float input are rounded to
    its precision; NaN is accepted if the input allows missing values. Copies only if needed.
    """
    if array.shape[1:] != spec.shape or not len(array):
        raise _wrong_shape(array.shape, spec)
    return conform_values(array, spec)


def conform_values(array: Rows, spec: Numbers, place: Place = in_instances) -> Rows:
    """The same for an array of any shape; errors name the value by its `place`."""
    target = spec.numpy_dtype
    if target.kind in "iu" and array.dtype != target:
        least, most = _limits(target)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                _refuse(array, np.isfinite(array) & (np.floor(array) == array), "a whole number", place)
            least, most = max(least, -_MOST_EXACT), min(most, _MOST_EXACT)
        if array.size and not (array.min() >= least and array.max() <= most):
            _refuse(array, (array >= least) & (array <= most), _range(least, most), place)
    if target.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            rows = np.ascontiguousarray(array, target)
        if spec.missing:
            _refuse(array, ~np.isinf(rows), f"a finite {spec.dtype}, or NaN for a missing value", place)
        else:
            _refuse(array, np.isfinite(rows), f"a finite {spec.dtype}", place)
    else:
        rows = np.ascontiguousarray(array, target)
    _check_range(array, rows, spec, place)
    return rows


@lru_cache(maxsize=16)
def _limits(whole: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(whole)
    return int(limits.min), int(limits.max)


def _check_range(array: Rows, rows: Rows, spec: Numbers, place: Place) -> None:
    """Check the range of `rows`; errors quote `array`, the values as the client sent them."""
    if rows.dtype.kind in "iu" and (spec.minimum, spec.maximum) in ((None, None), _limits(rows.dtype)):
        return
    if spec.minimum is not None:  # missing values are NaN, which compares as not below it
        _refuse(array, ~(rows < spec.minimum), _range(spec.minimum, spec.maximum), place)
    if spec.maximum is not None:
        _refuse(array, ~(rows > spec.maximum), _range(spec.minimum, spec.maximum), place)


def _refuse(array: Rows, good: np.ndarray[Any, np.dtype[np.bool_]], expected: str, place: Place) -> None:
    if not good.all():
        index = tuple(int(axis) for axis in np.unravel_index(int(np.argmin(good)), array.shape))
        value = array[index]
        remedy = NOT_MISSING if np.isnan(value) else ""
        raise Unprocessable(f"{place(index)}: expected {expected}, got {number(value)}{remedy}.")


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None or maximum is None:
        return f"at least {number(minimum)}" if maximum is None else f"at most {number(maximum)}"
    return f"a number from {number(minimum)} to {number(maximum)}"


def _wrong_shape(shape: tuple[int, ...], spec: InputSpec) -> Unprocessable:
    return Unprocessable(f"The array has shape {shape}; expected {of_many(spec.shape)}, n >= 1.")


def of_many(shape: tuple[int, ...]) -> str:
    """The shape of n instances of `shape` in NumPy's notation: (n, 32, 32, 3)."""
    return f"(n, {', '.join(map(str, shape))})"
