"""Chooses the disturber that fits a classifier's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data.columns import Columns
from harmgauge_models.data.disturber import ByKind, PictureDisturber
from harmgauge_models.data.pictures import image_layout, pictures
from harmgauge_models.data.row_disturbances import Pool, RowDisturber, make_pool
from harmgauge_models.data.row_disturbances.pool import Values, value_range
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict

EXTREME_ROWS = 8
DISTURBED_ROWS = 256
FAR = 1e6
"""Larger than any table of embedding vectors that a classifier could index with a real number."""


def disturber_for(model: Path | bytes, output: str, spec: InputSpec, x: Array, columns: Columns) -> ByKind:
    """A disturber for rows like `x` (n, *shape) after which `model` can still compute `output`.

    Numbers beyond the data's range may be ids that an embedding lacks: if so, values stay within that range.
    """
    layout = image_layout(spec.shape)
    if columns.layout == "pictures" and layout is not None:
        return PictureDisturber(pictures(x, spec, layout))
    pool = make_pool(x, columns, missing=spec.missing)
    for bounds in _bounds(pool, x):
        bounded = replace(pool, bounds=bounds)
        if _runs(model, output, bounded, x):
            break
    return RowDisturber(bounded)


def _bounds(pool: Pool, x: Array) -> Iterator[tuple[Values, Values]]:
    """Increasingly narrow bounds: those of the dtype; codes within their columns' ranges; all within the overall range;
    each within its own.
    """
    low, high = pool.bounds
    yield low, high
    ranges = np.array([value_range(column) for column in x.reshape(len(x), -1).T]).T
    free = pool.columns.are("number")
    yield np.where(free, low, ranges[0]), np.where(free, high, ranges[1])
    yield np.full_like(low, ranges[0].min()), np.full_like(high, ranges[1].max())
    yield ranges[0], ranges[1]


def _runs(model: Path | bytes, output: str, pool: Pool, x: Array) -> bool:
    random = np.random.default_rng(0)
    far = [np.clip(np.full_like(pool.spread, end), *pool.bounds) for end in (-FAR, FAR)]
    ends = pool.bounds if pool.whole else far
    extreme = [np.tile(end, (EXTREME_ROWS, 1)).reshape(-1, *x.shape[1:]).astype(x.dtype) for end in ends]
    disturbed, _ = RowDisturber(pool)(x[random.integers(len(x), size=DISTURBED_ROWS)], random)
    try:
        for rows in (*extreme, disturbed):
            predict(model, rows, "disturbed rows", output)
    except UserError:
        return False
    return True
