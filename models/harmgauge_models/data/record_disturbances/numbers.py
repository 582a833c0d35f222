"""Disturbances of the numeric fields of records: those of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Columns, find_columns
from harmgauge_models.data.row_disturbances import RowDisturber, make_pool
from harmgauge_models.data.row_disturbances.pool import value_range
from harmgauge_models.graphs import records


class Numbers:
    """The numbers of `fields` as the columns of one table; with `bounded`, they stay within their columns' ranges."""

    def __init__(self, x: Array, fields: Sequence[str], *, missing: bool, bounded: bool = False) -> None:
        self._fields = tuple(fields)
        rows = matrix(x, fields)
        self.columns: Columns = find_columns(rows, "table")
        pool = make_pool(rows, self.columns, missing=missing)
        if bounded:
            least, most = np.array([value_range(column) for column in rows.T]).T
            pool = replace(pool, bounds=(least, most))
        self._disturber = RowDisturber(pool)
        alone = rows.shape[1] == 1
        self.families = tuple(name for name in self._disturber.families if name != "other_column" or not alone)

    def change(self, x: Array, name: str, random: np.random.Generator) -> Array:
        """See `RecordPart`."""
        changed, _ = self._disturber(matrix(x, self._fields), random, (name,))
        return records.changed(x, by_field(x, self._fields, changed))

    def alone(self, x: Array, name: str, strength: float, random: np.random.Generator) -> Array:
        """See `RecordPart`."""
        changed = self._disturber.alone(matrix(x, self._fields), random, name, strength)
        return records.changed(x, by_field(x, self._fields, changed))


def matrix(x: Array, fields: Sequence[str]) -> Array:
    """The numbers of these fields, (n, d) float64."""
    return np.concatenate([x[name].reshape(len(x), -1).astype(np.float64) for name in fields], axis=1)


def by_field(x: Array, fields: Sequence[str], values: Array) -> Mapping[str, Array]:
    """The inverse of `matrix`: whole numbers are rounded and kept within their dtype; NaN there keeps the old value."""
    found, at = {}, 0
    for name in fields:
        before = x[name]
        width = math.prod(before.shape[1:])
        some = values[:, at : at + width].reshape(before.shape)
        at += width
        if before.dtype.kind in "iu":
            limits = np.iinfo(before.dtype)
            most = min(float(limits.max), 2.0**62)
            some = np.where(np.isnan(some), before, some)
            found[name] = np.clip(np.rint(some), float(limits.min), most).astype(before.dtype)
        else:
            limit = float(np.finfo(before.dtype).max) / 16
            found[name] = np.clip(some, -limit, limit).astype(before.dtype)
    return found
