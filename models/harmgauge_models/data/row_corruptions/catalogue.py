"""The corruptions that suit given rows, and a way to apply each of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Columns
from harmgauge_models.data.row_corruptions import categories, faults, numbers, series, tokens, vectors
from harmgauge_models.data.row_corruptions.clean_rows import CleanRows, Float64

Corruption = Callable[[CleanRows, int, np.random.Generator], Float64]
"""Maps clean rows, a severity of 1 to 5 and a random generator to corrupted rows (n, d).

The same generator state gives the same rows. Raises ValueError for any other severity.
"""

TABLE: dict[str, Corruption] = {
    "gaussian_noise": numbers.gaussian_noise,
    "heavy_noise": numbers.heavy_noise,
    "offset": numbers.offset,
    "units": numbers.units,
    "log_scale": numbers.log_scale,
    "negated": numbers.negated,
    "rounded": numbers.rounded,
    "saturated": numbers.saturated,
    "averaged": numbers.averaged,
    "stuck": faults.stuck,
    "swapped": faults.swapped,
    "other_row": faults.other_row,
    "out_of_range": faults.out_of_range,
    "missing": faults.missing,
    "sentinel": faults.sentinel,
    "shifted_columns": faults.shifted_columns,
    "codes_permuted": categories.codes_permuted,
    "codes_unseen": categories.codes_unseen,
}
EMBEDDING: dict[str, Corruption] = {
    "gaussian_noise": numbers.gaussian_noise,
    "offset": numbers.offset,
    "rounded": numbers.rounded,
    "saturated": numbers.saturated,
    "blended": vectors.blended,
    "dimensions_dropped": vectors.dimensions_dropped,
    "entries_dropped": vectors.entries_dropped,
    "scaled": vectors.scaled,
    "signs_flipped": vectors.signs_flipped,
    "other_row": faults.other_row,
    "vocabulary_shifted": vectors.vocabulary_shifted,
}
SPARSE: dict[str, Corruption] = {
    "entries_dropped": vectors.entries_dropped,
    "entries_added": vectors.entries_added,
    "entries_reweighted": vectors.entries_reweighted,
    "blended": vectors.blended,
    "scaled": vectors.scaled,
    "vocabulary_shifted": vectors.vocabulary_shifted,
    "dimensions_dropped": vectors.dimensions_dropped,
    "other_row": faults.other_row,
}
TOKENS: dict[str, Corruption] = {
    "typos": tokens.typos,
    "one_token": tokens.one_token,
    "tokens_dropped": tokens.tokens_dropped,
    "tokens_repeated": tokens.tokens_repeated,
    "truncated": tokens.truncated,
    "shuffled": tokens.shuffled,
    "spliced": tokens.spliced,
    "padding_shifted": tokens.padding_shifted,
    "ids_shifted": tokens.ids_shifted,
}
SERIES: dict[str, Corruption] = {
    "noise": series.noise,
    "drift": series.drift,
    "spikes": series.spikes,
    "stuck": series.stuck,
    "dropout": series.dropout,
    "gain": series.gain,
    "offset": series.offset,
    "time_shift": series.time_shift,
    "time_warp": series.time_warp,
    "smoothed": series.smoothed,
    "coarse_steps": series.coarse_steps,
    "reversed_stretch": series.reversed_stretch,
}
PICTURES: dict[str, Corruption] = {
    "gaussian_noise": numbers.gaussian_noise,
    "heavy_noise": numbers.heavy_noise,
    "offset": numbers.offset,
    "rounded": numbers.rounded,
    "saturated": numbers.saturated,
    "averaged": numbers.averaged,
    "scaled": vectors.scaled,
    "missing": faults.missing,
    "other_row": faults.other_row,
}
"""For images other than 8-bit colour images, which have their own benchmark."""

MIN_EMBEDDING = 64
MOST_UNLIKE = 1000.0
"""The columns of an embedding are of one kind: their spreads differ by less than this factor."""

FORMAT = 1
"""Incremented when a kind changes its values."""

_TRIED_ROWS = 300


@dataclass(frozen=True)
class Corruptions:
    """The corruptions that suit the rows `x` (n, *shape), as judged by `columns`.

    `missing` is true if NaN may be used for a missing value; `least` and `greatest` are set if the classifier accepts
    no values beyond them.
    """

    x: Array = field(repr=False)
    columns: Columns
    missing: bool = False
    least: float | None = None
    greatest: float | None = None

    @cached_property
    def _rows(self) -> CleanRows:
        return CleanRows.of(self.x, self.columns, missing=self.missing)

    @cached_property
    def kinds(self) -> dict[str, Corruption]:
        """The kinds that change anything at severity 5."""
        few = Corruptions(self.x[:_TRIED_ROWS], self.columns, self.missing, self.least, self.greatest)
        suited = _suited(few._rows)
        return {name: kind for name, kind in suited.items() if not _same(few._apply(name, kind, 5, 0), few.x)}

    def make(self, name: str, severity: int, seed: int) -> Array:
        """Corrupted copies of all rows, (n, *shape) in their dtype. Raises KeyError for an unsuitable kind."""
        return self._apply(name, self.kinds[name], severity, seed)

    def _apply(self, name: str, kind: Corruption, severity: int, seed: int) -> Array:
        random = np.random.default_rng((seed, severity, *name.encode()))
        return self._fitted(kind(self._rows, severity, random)).reshape(self.x.shape)

    def _fitted(self, values: Float64) -> Array:
        """Clip values to the range of the input, and convert them to its dtype."""
        dtype = self.x.dtype
        if not self.missing or dtype.kind != "f":
            values = np.nan_to_num(values, nan=0.0)
        bounds = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        least = float(bounds.min) if self.least is None else self.least
        greatest = float(bounds.max) if self.greatest is None else self.greatest
        if dtype.kind in "iu":
            values = np.rint(values)
            if bounds.bits == 64:  # the largest of them is not a float64
                greatest = min(greatest, math.nextafter(float(bounds.max), 0))
        return values.clip(least, greatest).astype(dtype)


def _suited(rows: CleanRows) -> dict[str, Corruption]:
    by_layout = {"series": SERIES, "tokens": TOKENS, "sparse": SPARSE, "pictures": PICTURES}
    if rows.columns.layout in by_layout:
        return by_layout[rows.columns.layout]
    return EMBEDDING if _is_embedding(rows) else TABLE


def _is_embedding(rows: CleanRows) -> bool:
    wide = rows.flat.shape[1] >= MIN_EMBEDDING and bool(rows.columns.are("number").all())
    return wide and bool(rows.spread.max() < MOST_UNLIKE * rows.spread.min())


def _same(some: Array, others: Array) -> bool:
    return np.array_equal(some, others, equal_nan=some.dtype.kind == "f")
