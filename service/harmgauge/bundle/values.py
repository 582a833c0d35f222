"""The values that an input accepts."""

from __future__ import annotations

from typing import Any

import numpy as np

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.rows import Array

MAX_STRING_CHARACTERS = 2**17
"""Limit for a string in a row: tokenizing a longer one would delay the rows of others."""


def bounds(found: Input) -> tuple[float | None, float | None]:
    """Minimum and maximum of an input of numbers, inclusive; None if unbounded."""
    return (0, found.vocabulary_size - 1) if found.vocabulary_size is not None else found.range or (None, None)


def value_problem(array: Array, found: Input) -> str | None:
    """Why an array has values that the input does not accept; None if it has none."""
    return _string_problem(array, found) if found.is_text else _number_problem(array, found)


def _number_problem(array: Array, found: Input) -> str | None:
    least, most = bounds(found)
    if array.dtype.kind == "f":
        if np.isinf(array).any():
            return "expected finite values, got infinity"
        if not found.missing and np.isnan(array).any():
            return "expected finite values, got NaN; this input accepts no missing values"
    for bound, beyond in ((least, np.less), (most, np.greater)):
        if bound is not None and (outside := beyond(array, bound)).any():
            return f"expected values in {least} .. {most}, got {array[outside].flat[0]}"
    return None


def _string_problem(array: Array, found: Input) -> str | None:
    values: list[Any] = array.reshape(-1).tolist()
    if not all(isinstance(value, str) for value in values):
        return "expected strings"
    if max(map(len, values), default=0) > MAX_STRING_CHARACTERS:
        return f"expected at most {MAX_STRING_CHARACTERS} characters in a string"
    if found.unknown == "refuse" and found.categories is not None:
        known = {*found.categories, ""} if found.missing else set(found.categories)
        if not known.issuperset(values):
            return "a string is outside the categories"
    return None
