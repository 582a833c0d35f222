"""Random disturbances of records: of their numbers, categories, texts and token ids, drawn separately for each row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.data.disturber import Tags
from harmgauge_models.data.record_disturbances.part import RecordPart
from harmgauge_models.data.row_disturbances import TWICE_SHARE

CHUNK_ROWS = 1024
"""Rows that are changed at once."""


class RecordDisturber:
    """A `Disturber` for records with these `parts`."""

    def __init__(self, parts: Sequence[RecordPart]) -> None:
        self._part = {name: part for part in parts for name in part.families}
        self.families = tuple(self._part)
        self.kinds = self.families
        self.clean_weight = 1.0

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        """See `Disturber`."""
        rows = x.copy()
        chosen = [index for index, name in enumerate(self.families) if names is None or name in names]
        tags = np.full((len(rows), 2), -1, np.int8)
        for link, share in enumerate((1.0, TWICE_SHARE)):
            drawn = np.array(chosen, np.int8)[random.integers(len(chosen), size=len(rows))]
            tags[:, link] = np.where(random.random(len(rows)) < share, drawn, -1)
            for index in chosen:
                name = self.families[index]
                picked = np.flatnonzero(tags[:, link] == index)
                for begin in range(0, len(picked), CHUNK_ROWS):
                    some = picked[begin : begin + CHUNK_ROWS]
                    rows[some] = self._part[name].change(rows[some], name, random)
        return rows, tags

    def alone(self, x: Array, random: np.random.Generator, kind: str, strength: float) -> Array:
        """See `ByKind`."""
        return self._part[kind].alone(x, kind, strength, random)
