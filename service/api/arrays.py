"""Instances from binary bodies, and the check that every array goes through before it is scored."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from service.errors import Unprocessable, Unreadable
from service.inference.bundle import InputSpec
from service.inference.outputs import Rows

_MAX_NPY_HEADER_BYTES = 4096
_MAX_NPY_LENGTH = 2**63 - 1

_MOST_EXACT = 2**53 - 1
"""Beyond this a floating-point number may be another one, rounded."""

_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
_NPY_HEADERS: dict[tuple[int, int], Callable[..., _Header]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(body: bytes, spec: InputSpec) -> Rows:
    """One `.npy` array of any numeric dtype whose values the input can hold. Pickled objects are never loaded."""
    try:
        header_bytes = 10 + int.from_bytes(body[8:10], "little")
        known = body[:6] == np.lib.format.MAGIC_PREFIX and body[6] == 1 and header_bytes <= _MAX_NPY_HEADER_BYTES
        head = body[: header_bytes if known else _MAX_NPY_HEADER_BYTES + 12]
        shape, fortran_order, dtype, header_bytes = _npy_header(head)
    except KeyError as error:
        raise Unreadable(f"The .npy format version {error} is not known; 1.0 and 2.0 are.") from None
    except Exception as error:  # numpy reads the header as Python text, and fails in as many ways as that can
        raise Unreadable(f"The body is no .npy array: {str(error).partition(chr(10))[0]}.") from None
    if dtype.hasobject:
        raise Unprocessable("The .npy array holds pickled objects, which are never loaded; send numbers.")
    if dtype.kind not in "iuf":
        raise Unprocessable(f"The .npy array holds {dtype}; send {spec.dtype}.")
    if tuple(shape[1:]) != spec.shape or not shape or shape[0] < 1:
        raise _wrong_shape(tuple(shape), spec)
    data = memoryview(body)[header_bytes:]
    due_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize  # exact: the header may claim any size
    if len(data) != due_bytes:
        raise Unreadable(f"The .npy header promises {due_bytes} bytes of data; {len(data)} came.")
    return conform(np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C"), spec)


@lru_cache(maxsize=64)
def _npy_header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran order, dtype and the header's size; kept, for numpy takes 20 us to read what clients repeat."""
    stream = io.BytesIO(head)
    header = _NPY_HEADERS[np.lib.format.read_magic(stream)]
    shape, fortran_order, dtype = header(stream, max_header_size=_MAX_NPY_HEADER_BYTES)
    if not all(type(size) is int and abs(size) <= _MAX_NPY_LENGTH for size in shape):
        raise ValueError("its shape has an axis that is no number of 64 bits")  # True; or what Python will not print
    return shape, fortran_order, dtype, stream.tell()


def read_raw(body: bytes, spec: InputSpec) -> Rows:
    """The array's little-endian bytes in the bundle's dtype; their length gives the number of instances."""
    if len(body) % spec.row_bytes:
        raise Unprocessable(
            f"The body has {len(body)} bytes, not a whole number of instances of {spec.row_bytes} bytes "
            f"({spec.dtype}, {by(spec.shape)})."
        )
    return conform(np.frombuffer(body, spec.numpy_dtype.newbyteorder("<")).reshape(-1, *spec.shape), spec)


def conform(array: Rows, spec: InputSpec) -> Rows:
    """Numbers (n, *shape) of any dtype as C-contiguous rows in the bundle's dtype, without changing a value.

    Fractions for an integer input, values out of range and (on the way to a narrower float) out of reach are refused
    with Unprocessable, naming the first; so are whole numbers beyond 2**53 that come as floats. A float input is
    rounded to its precision. No copy where none is needed.
    """
    if array.shape[1:] != spec.shape or not len(array):
        raise _wrong_shape(array.shape, spec)
    target = spec.numpy_dtype
    if target.kind in "iu" and array.dtype != target:
        limits = np.iinfo(target)
        least, most = int(limits.min), int(limits.max)
        with np.errstate(over="ignore", invalid="ignore"):
            if array.dtype.kind == "f":
                _refuse(array, np.isfinite(array) & (np.floor(array) == array), "a whole number is due")
                least, most = max(least, -_MOST_EXACT), min(most, _MOST_EXACT)
            _refuse(array, (array >= least) & (array <= most), _range(least, most))
    if target.kind == "f":
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(array, target)
        _refuse(array, np.isfinite(rows), f"a finite {spec.dtype} is due")
    else:
        rows = np.ascontiguousarray(array, target)
    _check_range(rows, spec)
    return rows


def _check_range(rows: Rows, spec: InputSpec) -> None:
    if rows.dtype.kind in "iu":
        limits = np.iinfo(rows.dtype)
        if (spec.minimum, spec.maximum) in ((None, None), (limits.min, limits.max)):
            return
    if spec.minimum is not None:
        _refuse(rows, rows >= spec.minimum, _range(spec.minimum, spec.maximum))
    if spec.maximum is not None:
        _refuse(rows, rows <= spec.maximum, _range(spec.minimum, spec.maximum))


def _refuse(array: Rows, good: np.ndarray[Any, np.dtype[np.bool_]], due: str) -> None:
    if not good.all():
        index = np.unravel_index(int(np.argmin(good)), array.shape)
        where = "".join(f"[{int(axis)}]" for axis in index)
        raise Unprocessable(f"instances{where} is {array[index]:g}; {due}.")


def _range(minimum: float | None, maximum: float | None) -> str:
    if minimum is None or maximum is None:
        return f"at least {minimum:g} is due" if maximum is None else f"at most {maximum:g} is due"
    return f"a number from {minimum:g} to {maximum:g} is due"


def _wrong_shape(shape: tuple[int, ...], spec: InputSpec) -> Unprocessable:
    return Unprocessable(
        f"The array has the shape ({by(shape)}); (n x {by(spec.shape)}) is due, n instances, at least one."
    )


def by(shape: tuple[int, ...]) -> str:
    """A shape as people write it: 32 x 32 x 3."""
    return " x ".join(map(str, shape))
