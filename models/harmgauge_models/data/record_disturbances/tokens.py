"""Disturbances of rows of token ids of different lengths, if the text and its tokenizer are unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.record_disturbances.part import strengths
from harmgauge_models.graphs import records

Ids = npt.NDArray[np.int64]
Random = np.random.Generator

MOST_SPECIAL = 8
"""Most ids at either end of a row that are the same in all rows, such as [CLS], and stay where they are."""

MOST_OTHERS = 5000
MOST_OF_ANOTHER = 0.5


def _hit(ids: Ids, strength: float, random: Random) -> npt.NDArray[np.bool_]:
    return np.asarray(random.random(len(ids)) < strength)


class Tokens:
    """Ids in the field `ids`, up to each row's length; the field of the mask and the others follow that length."""

    def __init__(self, x: Array, ids: str, pads: Mapping[str, float]) -> None:
        self._ids, self._pads, self._width = ids, pads, x.dtype[ids].shape[0]
        mask = records.mask_field(x)
        assert mask is not None
        self._mask = mask
        picked = np.sort(np.random.default_rng(0).permutation(len(x))[:MOST_OTHERS])
        self._others = _rows(x[picked], ids)
        self._before, self._after = _specials(self._others)
        inner = np.concatenate([self._inner(row) for row in self._others])
        self._pool = inner if len(inner) else self._others[0]
        self._least, self._most = int(self._pool.min()), int(self._pool.max())
        values, counts = np.unique(self._pool, return_counts=True)
        self._commonest = int(values[counts.argmax()])
        self._changes: dict[str, Callable[[Ids, float, Random], Ids]] = {
            "any_token": self._any_token,
            "tokens_of_pool": self._of_pool,
            "one_token": self._one_token,
            "neighbouring_ids": self._neighbours,
            "tokens_dropped": self._dropped,
            "tail_cut": self._cut,
            "tokens_swapped": self._swapped,
            "tokens_repeated": self._repeated,
            "tokens_of_other_row": self._other_row,
        }
        self.families = tuple(self._changes)

    def change(self, x: Array, name: str, random: Random) -> Array:
        """See `RecordPart`."""
        return self._changed(x, name, strengths(len(x), random), random)

    def alone(self, x: Array, name: str, strength: float, random: Random) -> Array:
        """See `RecordPart`."""
        return self._changed(x, name, np.full(len(x), strength), random)

    def _changed(self, x: Array, name: str, by_row: npt.NDArray[np.float64], random: Random) -> Array:
        made = x.copy()
        change = self._changes[name]
        most = self._width - self._before - self._after
        for place, row in enumerate(_rows(x, self._ids)):
            inner = change(self._inner(row), float(by_row[place]), random)[: max(most, 0)]
            kept = np.concatenate([row[: self._before], inner, row[len(row) - self._after :]])
            made[self._ids][place] = self._pads.get(self._ids, 0)
            made[self._ids][place][: len(kept)] = kept
            for field, pad in self._pads.items():
                if field != self._ids:
                    values = made[field][place]
                    values[: len(kept)] = np.resize(x[field][place][: len(row)], len(kept))
                    values[len(kept) :] = pad
        return made

    def _inner(self, row: Ids) -> Ids:
        return row[self._before : max(self._before, len(row) - self._after)]

    def _any_token(self, ids: Ids, strength: float, random: Random) -> Ids:
        """Ids from the whole range, rare and common ones equally often."""
        return np.where(_hit(ids, strength, random), random.integers(self._least, self._most + 1, len(ids)), ids)

    def _of_pool(self, ids: Ids, strength: float, random: Random) -> Ids:
        """Ids of other rows, in proportion to their frequency."""
        return np.where(_hit(ids, strength, random), random.choice(self._pool, len(ids)), ids)

    def _one_token(self, ids: Ids, strength: float, random: Random) -> Ids:
        """One id instead of many, like words that a vocabulary lacks."""
        one = self._commonest if random.random() < 0.5 else int(random.choice(self._pool))
        return np.where(_hit(ids, strength, random), one, ids)

    def _neighbours(self, ids: Ids, strength: float, random: Random) -> Ids:
        """The next id: another version of the vocabulary."""
        moved = np.clip(ids + random.choice((-2, -1, 1, 2)), self._least, self._most)
        return np.where(_hit(ids, strength, random), moved, ids)

    def _dropped(self, ids: Ids, strength: float, random: Random) -> Ids:
        return ids[~_hit(ids, 0.9 * strength, random)]

    def _cut(self, ids: Ids, strength: float, random: Random) -> Ids:
        kept = max(1, round((1 - 0.95 * strength) * len(ids)))
        return ids[:kept] if random.random() < 0.7 else ids[-kept:]

    def _swapped(self, ids: Ids, strength: float, random: Random) -> Ids:
        """Ids move, within a reach of 2 places up to the whole row."""
        reach = 1 + strength * max(2, len(ids))
        return ids[np.argsort(np.arange(len(ids)) + reach * random.random(len(ids)))]

    def _repeated(self, ids: Ids, strength: float, random: Random) -> Ids:
        if random.random() < 0.3:
            return np.tile(ids, 1 + int(np.ceil(3 * strength)))
        return np.repeat(ids, 1 + _hit(ids, strength, random))

    def _other_row(self, ids: Ids, strength: float, random: Random) -> Ids:
        """A stretch of another row is inserted, or replaces a part."""
        strange = self._inner(self._others[int(random.integers(len(self._others)))])
        count = max(1, round(MOST_OF_ANOTHER * strength * len(ids)))
        begin = int(random.integers(max(1, len(strange) - count + 1)))
        at = int(random.integers(len(ids) + 1))
        after = ids[at + count :] if random.random() < 0.5 else ids[at:]
        return np.concatenate([ids[:at], strange[begin : begin + count], after])


def _rows(x: Array, ids: str) -> list[Ids]:
    lengths = records.row_lengths(x)
    assert lengths is not None
    return [row[:length] for row, length in zip(x[ids], lengths, strict=True)]


def _specials(rows: list[Ids]) -> tuple[int, int]:
    """How many ids at the beginning and at the end of a row are the same in all rows."""
    shortest = min(len(row) for row in rows)
    before = 0
    while before < min(MOST_SPECIAL, shortest) and len({int(row[before]) for row in rows}) == 1:
        before += 1
    after = 0
    while after < min(MOST_SPECIAL, shortest - before) and len({int(row[-1 - after]) for row in rows}) == 1:
        after += 1
    return before, after
