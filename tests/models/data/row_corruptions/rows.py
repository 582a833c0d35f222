"""Small sets of rows of every layout."""

from __future__ import annotations

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Layout

ROWS = 400


def table(dtype: str = "float32") -> Array:
    """Three numbers of different magnitude, a code of seven categories, a flag, a constant."""
    random = np.random.default_rng(0)
    columns = [
        random.normal(0, 1, ROWS),
        random.lognormal(3, 1, ROWS),
        random.uniform(-500, 900, ROWS),
        random.integers(0, 7, ROWS),
        random.integers(0, 2, ROWS),
        np.full(ROWS, 4.0),
    ]
    return np.stack(columns, 1).astype(dtype)


def series() -> Array:
    random = np.random.default_rng(1)
    time = np.linspace(0, 6, 40)
    phase = random.uniform(0, 3, (ROWS, 1, 2))
    return (np.sin(time[None, :, None] + phase) + 0.05 * random.normal(size=(ROWS, 40, 2))).astype(np.float32)


def tokens() -> Array:
    """Ids from 5 to 199, 10 to 30 of them per row, padded with 1."""
    random = np.random.default_rng(2)
    ids = (5 + 195 * random.random((ROWS, 32)) ** 3 * random.permutation(195)[:32] / 195).astype(np.int64)
    ids[np.arange(32) >= random.integers(10, 31, (ROWS, 1))] = 1
    return ids


def sparse() -> Array:
    random = np.random.default_rng(3)
    return (random.random((ROWS, 120)) * (random.random((ROWS, 120)) < 0.08)).astype(np.float32)


def embedding() -> Array:
    random = np.random.default_rng(4)
    return random.normal(size=(ROWS, 96)).astype(np.float32)


def greys() -> Array:
    return np.random.default_rng(5).integers(0, 256, (ROWS, 8, 8, 1), np.uint8)


LAYOUTS: dict[str, tuple[Array, Layout]] = {
    "table": (table(), "table"),
    "whole numbers": (table("int32"), "table"),
    "series": (series(), "series"),
    "tokens": (tokens(), "tokens"),
    "sparse": (sparse(), "sparse"),
    "embedding": (embedding(), "table"),
    "greys": (greys(), "pictures"),
}
