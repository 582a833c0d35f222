"""Faults of columns that name categories."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.row_corruptions.clean_rows import CleanRows, Float64, by_severity, some_columns


def codes_permuted(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A different encoder: in some columns every code means a different category."""
    mapped = rows.flat.copy()
    for column in np.flatnonzero(rows.categories):
        values, codes = np.unique(rows.flat[:, column], return_inverse=True)
        mapped[:, column] = np.roll(values, int(random.integers(1, max(2, len(values)))))[codes]
    return np.where(some_columns(rows, rows.categories, severity, random), mapped, rows.flat)


def codes_unseen(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A new category: the next code, or a later one."""
    later = rows.quantiles[4] + by_severity((1, 1, 2, 5, 20), severity)
    return np.where(some_columns(rows, rows.categories, severity, random), later, rows.flat)
