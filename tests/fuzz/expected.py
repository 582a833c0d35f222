"""An independent implementation of reading numbers: one after another, in Python's exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec


class Numbers(Protocol):
    """The numbers that an input accepts."""

    @property
    def numpy_dtype(self) -> np.dtype[Any]: ...
    @property
    def minimum(self) -> float | None: ...
    @property
    def maximum(self) -> float | None: ...
    @property
    def missing(self) -> bool: ...


_WRONG = object()
"""Marks a value that is not a number."""


def rows_of(nested: object, spec: InputSpec) -> Rows | None:
    """The rows (n, *shape) of nested lists; None if the nesting is wrong or the input does not accept a number.

    None or NaN among the numbers is a missing value.
    """
    if not isinstance(nested, list) or not nested:
        return None
    numbers = list(_flat(nested, (len(nested), *spec.shape)))
    return None if _WRONG in numbers else rows_of_flat(numbers, len(nested), spec)


def rows_of_flat(numbers: list[Any], count: int, spec: InputSpec) -> Rows | None:
    """The rows of a flat list of numbers."""
    if count < 1 or len(numbers) != count * spec.row_size:
        return None
    mixed = spec.numpy_dtype.kind in "iu" and any(isinstance(number, float) for number in numbers)
    if mixed and any(abs(number or 0) >= 2**53 for number in numbers):  # floats among them may have rounded them
        return None
    taken = [one_number(number, spec) for number in numbers]
    if None in taken:
        return None
    return np.array(taken, spec.numpy_dtype).reshape(count, *spec.shape)


def _flat(value: object, shape: tuple[int, ...]) -> Iterator[Any]:
    if not shape:
        yield value if isinstance(value, int | float | None) and not isinstance(value, bool) else _WRONG
    elif not isinstance(value, list) or len(value) != shape[0]:
        yield _WRONG
    else:
        for element in value:
            yield from _flat(element, shape[1:])


def one_number(value: int | float | None, spec: Numbers) -> Any:
    """The number in the input's dtype; None if the input does not accept it."""
    dtype = spec.numpy_dtype
    if value is None or math.isnan(value):
        return math.nan if spec.missing else None
    if not math.isfinite(value):
        return None
    number: Any
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if value != int(value) or not limits.min <= value <= limits.max:
            return None
        number = int(value)
    else:
        with np.errstate(over="ignore"):
            number = np.float64(value).astype(dtype)
        if not np.isfinite(number):
            return None
    if spec.minimum is not None and not number >= spec.minimum:
        return None
    if spec.maximum is not None and not number <= spec.maximum:
        return None
    return number
