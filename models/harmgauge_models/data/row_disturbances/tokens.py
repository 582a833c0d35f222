"""Disturbances of rows of word or byte ids."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.row_disturbances.pool import MOST_OF_ANOTHER, Disturbance, Mask, Pool, Values


def other_row(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Take ids from the same places of another row, or of several other rows if more than half of the row is
    replaced.
    """
    others = pool.others(len(rows), random)
    second = pool.others(len(rows), random)
    third = np.where(np.arange(rows.shape[1]) % 2, others, second)
    return np.where(mask.mean(1, keepdims=True) <= MOST_OF_ANOTHER, others, third)


def from_pool(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Take ids from other rows and other places, in proportion to their frequency."""
    return pool.rows[random.integers(len(pool.rows), size=rows.shape), random.integers(rows.shape[1], size=rows.shape)]


def any_id(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Take ids from the whole range, rare and common ones equally often."""
    low, high = pool.bounds
    return np.floor(low + random.random(rows.shape) * (high - low + 1))


def commonest(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Pad with the place's most common id, which is the padding of short rows, or with the row's first id."""
    filling = np.where(random.random((len(rows), 1)) < 0.5, pool.common, rows[:, :1])
    return np.broadcast_to(filling, rows.shape)


def neighbour(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Take a nearby id, or flip one bit: a change of case, of character set, or of vocabulary."""
    bits = 2.0 ** random.integers(0, 8, (len(rows), 1))
    beside = rows + random.choice((-2, -1, 1, 2), rows.shape)
    flipped = np.bitwise_xor(rows.astype(np.int64), bits.astype(np.int64)).astype(np.float64)
    return np.where(random.random((len(rows), 1)) < 0.5, beside, flipped)


def shifted(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Shift the whole row by some places, wrapping around or padding."""
    width = rows.shape[1]
    places = random.integers(1, max(2, width // 2), (len(rows), 1)) * random.choice((-1, 1), (len(rows), 1))
    source = np.arange(width) + places
    moved = np.take_along_axis(rows, source % width, axis=1)
    padded = np.where((source >= 0) & (source < width), moved, pool.common)
    return np.where(random.random((len(rows), 1)) < 0.5, moved, padded)


def shuffled(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Shuffle within a reach of 2 places up to the whole row."""
    width = rows.shape[1]
    reach = np.exp(random.uniform(np.log(2), np.log(max(width, 3)), (len(rows), 1)))
    order = np.argsort(np.arange(width) + reach * random.random(rows.shape), axis=1)
    return np.take_along_axis(rows, order, axis=1)


def repeated(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
    """Repeat a part of the row."""
    width = rows.shape[1]
    period = random.integers(1, max(2, width // 2), (len(rows), 1))
    begin = random.integers(0, width, (len(rows), 1))
    return np.take_along_axis(rows, (begin + np.arange(width) % period) % width, axis=1)


SPLICED = {"shifted", "shuffled", "repeated"}
"""The disturbances that move ids: they change a stretch of the row, not single places."""

TOKENS: dict[str, Disturbance] = {
    "other_row": other_row,
    "from_pool": from_pool,
    "any_id": any_id,
    "commonest": commonest,
    "neighbour": neighbour,
    "shifted": shifted,
    "shuffled": shuffled,
    "repeated": repeated,
}
