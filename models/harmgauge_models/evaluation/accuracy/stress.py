"""Rows unlike any disturbance that a bundle was calibrated on, for which its accuracy estimate is too high."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Array
from harmgauge_models.data.corruptions import Images
from harmgauge_models.data.served_rows import tokenizer_of
from harmgauge_models.evaluation import pictures
from harmgauge_models.evaluation.accuracy.stress_records import record_changes
from harmgauge_models.evaluation.cases import Cases
from harmgauge_models.evaluation.measure import CLEAN, Copied, Copy

MOST_ROWS = 1000
PATCHES = 4
"""Number of shuffled patches per side."""

NOISE = "noise"
"""Not real inputs: no answer to them is right."""

FORMAT = 1
"""Incremented when the way of making a copy changes."""


def stress_copies(bundle: Bundle, found: Cases, rows: Array, seed: int) -> dict[Copy, Copied]:
    """Each kind of stress applied to some of the clean rows, selected by index (m,)."""
    decided_by = ["stress", FORMAT, seed, rows.tolist()]
    if found.pictures is not None:
        x, spec = found.pictures.x[rows], bundle.manifest.input
        makers = {
            name: partial(lambda change: pictures.instances(np.ascontiguousarray(change(x, seed)), spec), change)
            for name, change in _PICTURES.items()
            if name != "turned_90" or x.shape[1] == x.shape[2]
        }
    else:
        clean = found.copies[CLEAN].make
        changes = _ROWS
        if bundle.manifest.is_named:
            changes = record_changes(bundle.manifest.inputs, tokenizer_of(bundle), clean()[:1], NOISE)
        makers = {name: partial(lambda change: change(clean()[rows], seed), change) for name, change in changes.items()}
    return {(name, 0): Copied(make, decided_by, may_fail=True) for name, make in makers.items()}


def _shuffled(x: Images, seed: int) -> Images:
    """Shuffle the patches of each image."""
    random, (n, height, width, _) = np.random.default_rng(seed), x.shape
    tall, wide = height // PATCHES, width // PATCHES
    if not tall or not wide:
        return x
    changed = x.copy()
    for row in range(n):
        for to, start in enumerate(random.permutation(PATCHES**2).tolist()):
            below, right, top, left = (
                to // PATCHES * tall,
                to % PATCHES * wide,
                start // PATCHES * tall,
                start % PATCHES,
            )
            piece = x[row, top : top + tall, left * wide : (left + 1) * wide]
            changed[row, below : below + tall, right : right + wide] = piece
    return changed


def _values(x: Array) -> tuple[Array, Array]:
    """The minimum and maximum of each column; 0 if it has no values."""
    absent = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    least = np.where(absent, np.inf, x).min(0)
    greatest = np.where(absent, -np.inf, x).max(0)
    empty = absent.all(0)
    return np.where(empty, 0, least), np.where(empty, 0, greatest)


def _mirrored(x: Array, _: int) -> Array:
    least, greatest = _values(x)
    mirrored: Array = (least + greatest - x).astype(x.dtype)
    return mirrored


def _reordered(x: Array, seed: int) -> Array:
    return np.ascontiguousarray(x[..., np.random.default_rng(seed).permutation(x.shape[-1])])


def _noise(x: Array, seed: int) -> Array:
    """Draw each value uniformly between the minimum and maximum of its column."""
    least, greatest = _values(x)
    drawn = np.random.default_rng(seed).random(x.shape) * (greatest - least) + least
    found: Array = (np.rint(drawn) if x.dtype.kind in "iu" else drawn).astype(x.dtype)
    return found


_PICTURES: dict[str, Callable[[Images, int], Array]] = {
    "turned_90": lambda x, _: np.rot90(x, axes=(1, 2)),
    "turned_180": lambda x, _: np.rot90(x, 2, axes=(1, 2)),
    "upside_down": lambda x, _: x[:, ::-1],
    "inverted": lambda x, _: 255 - x,
    "patches_shuffled": _shuffled,
    NOISE: lambda x, seed: np.random.default_rng(seed).integers(0, 256, x.shape, np.uint8),
}

_ROWS: dict[str, Callable[[Array, int], Array]] = {
    "mirrored": _mirrored,
    "reversed": lambda x, _: np.ascontiguousarray(x[..., ::-1]),
    "columns_shuffled": _reordered,
    NOISE: _noise,
}
