"""The parts of a record that are disturbed in different ways: its numbers, categories, texts, and token ids."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array

Mask = npt.NDArray[np.bool_]

ONE_SHARE, ALL_SHARE = 0.4, 0.2
"""Shares of the rows in which one column changes, and in which all columns change."""


class RecordPart(Protocol):
    """Some fields of records; `families` are the disturbances by name."""

    families: tuple[str, ...]

    def change(self, x: Array, name: str, random: np.random.Generator) -> Array:
        """Disturb each of the records `x` separately, at a random strength; returns new records."""
        ...

    def alone(self, x: Array, name: str, strength: float, random: np.random.Generator) -> Array:
        """Disturb all records in the same way, at one strength above 0 and up to 1."""
        ...


def some_columns(rows: int, columns: int, random: np.random.Generator) -> Mask:
    """A mask (rows, columns) of the values that change: one, any number, or all in a row."""
    share = np.where(random.random((rows, 1)) < 0.5, random.random((rows, 1)) ** 2, random.random((rows, 1)))
    one = np.arange(columns) == random.integers(columns, size=(rows, 1))
    how_many = random.random((rows, 1))
    some = one | (random.random((rows, columns)) < share)
    found: Mask = np.where(how_many < ONE_SHARE, one, some | (how_many > 1 - ALL_SHARE))
    return found


def same_columns(columns: int, strength: float, random: np.random.Generator) -> Mask:
    """A mask (columns,) of the columns that change in all rows, at least one."""
    many = max(1, round(strength**2 * columns))
    found = np.zeros(columns, bool)
    found[random.permutation(columns)[:many]] = True
    return found


def strengths(rows: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """A strength for each row, (rows,), weak ones more often."""
    return np.where(random.random(rows) < 0.5, random.random(rows) ** 2, random.random(rows)).clip(0.02, 1.0)
