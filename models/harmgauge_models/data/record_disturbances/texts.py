"""Texts in records, with the token ids that were made from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.record_disturbances.part import same_columns, some_columns, strengths
from harmgauge_models.data.record_disturbances.text import TEXT
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.graphs import records

MOST_OTHERS = 5000


class Texts:
    """The columns of text `fields`; a `tokenizer` makes the rest of the record from its only text."""

    families = tuple(TEXT)

    def __init__(self, x: Array, fields: Sequence[str], tokenizer: Tokenizer | None = None) -> None:
        self._fields, self._tokenizer = tuple(fields), tokenizer
        picked = np.random.default_rng(0).permutation(len(x))[:MOST_OTHERS]
        self._others = {name: [str(text) for text in x[name][np.sort(picked)].reshape(-1)] for name in fields}

    def change(self, x: Array, name: str, random: np.random.Generator) -> Array:
        """See `RecordPart`."""
        mask = some_columns(len(x), len(self._fields), random)
        return self._changed(x, name, mask, strengths(len(x), random), random)

    def alone(self, x: Array, name: str, strength: float, random: np.random.Generator) -> Array:
        """See `RecordPart`."""
        places = same_columns(len(self._fields), strength, random)
        mask = np.broadcast_to(places, (len(x), len(places)))
        return self._changed(x, name, mask, np.full(len(x), strength), random)

    def _changed(
        self,
        x: Array,
        name: str,
        mask: npt.NDArray[np.bool_],
        by_row: npt.NDArray[np.float64],
        random: np.random.Generator,
    ) -> Array:
        disturb, changes = TEXT[name], {}
        for column, field in enumerate(self._fields):
            texts = x[field].reshape(-1).copy()
            others = self._others[field]
            for row in np.flatnonzero(mask[:, column]):
                texts[row] = disturb(str(texts[row]), float(by_row[row]), others, random)
            changes[field] = texts.reshape(x[field].shape)
        if self._tokenizer is not None:
            width = x.dtype[self._tokenizer.names[0]].shape[0]
            changes |= self._tokenizer.arrays(changes[records.TEXT], width)
        return records.changed(x, changes)
