"""Disturbances of sparse rows: counts or weights of words, most of them 0."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.row_disturbances.pool import MOST_OF_ANOTHER, Disturbance, Mask, Pool, Values


def _share(rows: Values, random: np.random.Generator) -> Values:
    """A random share for each row, (n, 1)."""
    return random.uniform(0.05, 1, (len(rows), 1))


def _as_long(changed: Values, rows: Values, random: np.random.Generator) -> Values:
    """Scale 70 % of the rows to their previous length, because weights are often normalised."""
    before, after = (np.linalg.norm(np.nan_to_num(some), axis=1, keepdims=True) for some in (rows, changed))
    scale = np.where((after > 0) & (random.random((len(rows), 1)) < 0.7), before / np.maximum(after, 1e-12), 1.0)
    return changed * scale


def dropped(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Drop words."""
    return _as_long(rows * (random.random(rows.shape) > _share(rows, random)), rows, random)


def added(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Add words of another row."""
    others = pool.others(len(rows), random)
    return _as_long(np.maximum(rows, others * (random.random(rows.shape) < _share(rows, random))), rows, random)


def replaced(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Replace some words with the same number of words of another row."""
    share = MOST_OF_ANOTHER * _share(rows, random)
    kept, new = random.random(rows.shape) > share, random.random(rows.shape) < share
    return _as_long(rows * kept + pool.others(len(rows), random) * new, rows, random)


def misread(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Move weights to other columns: a different vocabulary, or a spelling that means another word."""
    width = rows.shape[1]
    places = random.integers(1, max(width, 2), (len(rows), 1))
    moved = np.take_along_axis(rows, (np.arange(width) + places) % width, axis=1)
    strays = random.random(rows.shape) < _share(rows, random)
    return _as_long(np.where(strays, moved, rows * ~np.roll(strays, -1, axis=1)), rows, random)


def reweighted(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Give the same words other weights, equal weights, or weights without normalisation."""
    strength = random.uniform(0.1, 1.5, (len(rows), 1))
    noisy = rows * np.exp(strength * random.standard_normal(rows.shape))
    binary = (rows != 0) * np.exp(random.normal(0, 1, (len(rows), 1)))
    scaled = rows * np.exp(random.normal(0, 1.5, (len(rows), 1)))
    which = random.integers(3, size=(len(rows), 1))
    return np.where(which == 0, _as_long(noisy, rows, random), np.where(which == 1, binary, scaled))


def emptied(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Leave only a few known words, or none."""
    ranks = np.argsort(np.argsort(-np.abs(rows) * random.random(rows.shape), axis=1), axis=1)
    return _as_long(rows * (ranks < random.integers(0, 4, (len(rows), 1))), rows, random)


SPARSE: dict[str, Disturbance] = {
    "dropped": dropped,
    "added": added,
    "replaced": replaced,
    "misread": misread,
    "reweighted": reweighted,
    "emptied": emptied,
}
