"""Disturbances of columns of strings that name categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.data.record_disturbances.part import Mask, same_columns, some_columns
from harmgauge_models.graphs import records

PLACEHOLDERS = ("", "?", "unknown", "Unknown", "NaN", "None", "null", "NULL", "0", "-", "N/A", "other")
"""Common placeholders for a missing value."""

KNOWN = ("category_of_other_row", "commonest_category", "rare_category")
"""The disturbances that use only categories of the data."""

UNKNOWN = ("misspelt_category", "unseen_category", "category_of_other_column")
"""Those that also make strings that the data lack."""


class Categories:
    """The columns of `fields`, with their values in normal rows; with `known_only`, no others appear."""

    def __init__(self, x: Array, fields: Sequence[str], *, known_only: bool = False) -> None:
        self._fields, self._pool = tuple(fields), _matrix(x, fields)
        self._values = [np.unique(column.astype(str), return_counts=True) for column in self._pool.T]
        self.families: tuple[str, ...] = KNOWN if known_only else (*KNOWN, *UNKNOWN)

    def change(self, x: Array, name: str, random: np.random.Generator) -> Array:
        """See `RecordPart`."""
        return self._changed(x, name, some_columns(len(x), len(self._fields), random), random)

    def alone(self, x: Array, name: str, strength: float, random: np.random.Generator) -> Array:
        """See `RecordPart`."""
        places = same_columns(len(self._fields), strength, random)
        return self._changed(x, name, np.broadcast_to(places, (len(x), len(places))), random)

    def _changed(self, x: Array, name: str, mask: Mask, random: np.random.Generator) -> Array:
        before = _matrix(x, self._fields)
        after = np.where(mask, self._made(name, before, random), before)
        return records.changed(x, _by_field(x, self._fields, after))

    def _made(self, name: str, rows: Array, random: np.random.Generator) -> Array:
        count, width = rows.shape
        if name == "category_of_other_row":
            one = self._pool[random.integers(len(self._pool), size=count)]
            mixed = self._pool[random.integers(len(self._pool), size=rows.shape), np.arange(width)]
            return np.where(random.random((count, 1)) < 0.5, one, mixed)
        if name == "category_of_other_column":
            if width == 1:
                return self._made("unseen_category", rows, random)
            step = random.integers(1, width, (count, 1))
            return np.take_along_axis(rows, (np.arange(width) + step) % width, axis=1)
        made = np.empty_like(rows)
        for column, (values, counts) in enumerate(self._values):
            if name == "commonest_category":
                made[:, column] = str(values[counts.argmax()])
            elif name == "rare_category":
                made[:, column] = values.astype(object)[random.integers(len(values), size=count)]
            elif name == "misspelt_category":
                made[:, column] = [_misspelt(str(value), random) for value in rows[:, column]]
            else:
                marks = np.array([*PLACEHOLDERS, f"new {column}"], object)
                made[:, column] = marks[random.integers(len(marks), size=count)]
        return made


def _misspelt(value: str, random: np.random.Generator) -> str:
    """The same category as another system writes it: case, spaces, punctuation, a typing error."""
    kind = int(random.integers(8))
    if kind < 4:
        found = (value.upper(), value.lower(), value.title(), value.swapcase())[kind]
    elif kind < 6:
        found = (f" {value}", value.replace("-", "_").replace(" ", "_"))[kind - 4]
    elif len(value) > 1 and kind == 6:
        at = int(random.integers(len(value)))
        found = value[:at] + value[at + 1 :]
    else:
        found = value[: max(1, len(value) // 2)]
    return found if found != value else f"{value} "


def _matrix(x: Array, fields: Sequence[str]) -> Array:
    return np.stack([x[name].reshape(len(x)) for name in fields], axis=1)


def _by_field(x: Array, fields: Sequence[str], values: Array) -> Mapping[str, Array]:
    return {name: values[:, place].reshape(x[name].shape) for place, name in enumerate(fields)}
