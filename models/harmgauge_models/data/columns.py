"""The layout of rows and the kind of each column, judged from the training rows alone.

The disturbances depend on them: a token id is replaced by another, a length is measured in different units, a sensor
gets stuck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import image_layout

Layout = Literal["pictures", "series", "tokens", "sparse", "table"]
"""The structure of a row's values.

`series`: measured one after another, along one axis. `tokens`: ids of words or bytes. `sparse`: counts or weights that
are mostly 0, such as TF-IDF. `table`: each column has its own meaning; embeddings count as tables too.
"""

ColumnKind = Literal["number", "flag", "code"]
"""`flag`: at most two values. `code`: few whole numbers, which may name categories."""

KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)

JUDGED_ROWS = 2000
MOST_CODES = 64
"""A column of whole numbers with more distinct values counts as a number."""

MIN_SERIES_STEPS = 12
MIN_TOKENS = 16
MIN_VOCABULARY = 48
MIN_SPARSE_COLUMNS = 50
SPARSE_ZEROS = 0.75
SMOOTH = 0.5
"""Squared differences of neighbours in a series are below this share of those of two random columns."""

ONE_POOL = 0.2
"""If less than this share of the variance of ids is between the columns, any id may occur in any column."""


@dataclass(frozen=True)
class Columns:
    """The layout of rows (n, *shape), and the kind of each value of a row as an index into KINDS, (d,), d =
    prod(shape). `time_axis` is the axis of a series' steps in (n, *shape).
    """

    shape: tuple[int, ...]
    layout: Layout
    kinds: npt.NDArray[np.int8]
    time_axis: int | None = None

    def are(self, kind: ColumnKind) -> npt.NDArray[np.bool_]:
        """A mask of the values of this kind, (d,)."""
        return np.asarray(self.kinds == KINDS.index(kind))


def find_columns(x: Array, layout: Layout | None = None) -> Columns:
    """Judge rows `x` (n, *shape), in which NaN is a missing value; `layout` may be given."""
    shape = x.shape[1:]
    picked = np.random.default_rng(0).permutation(len(x))[:JUDGED_ROWS]
    rows = x[np.sort(picked)].reshape(len(picked), -1)
    found = layout or _layout(rows, shape)
    time_axis = None
    if found == "series":
        steps = [size if size >= 2 else 0 for size in shape]
        time_axis = 1 + int(np.argmax(steps))
    return Columns(shape, found, _kinds(rows), time_axis)


def _layout(rows: Array, shape: tuple[int, ...]) -> Layout:
    if image_layout(shape) is not None and min(sorted(shape)[1:]) > 1:
        return "pictures"
    width = math.prod(shape)
    if _are_tokens(rows):
        return "tokens"
    if width >= MIN_SPARSE_COLUMNS and np.mean(rows == 0) >= SPARSE_ZEROS:
        return "sparse"
    if len(shape) >= 2 and max(shape) >= MIN_SERIES_STEPS:
        return "series"
    if len(shape) == 1 and width >= MIN_SERIES_STEPS and _is_smooth(rows):
        return "series"
    return "table"


def _are_tokens(rows: Array) -> bool:
    """Whether the values are whole numbers with the same meaning in every column, as in measured series, but not smooth
    from one column to the next.
    """
    if rows.dtype.kind not in "iu" or rows.shape[1] < MIN_TOKENS or rows.min() < 0:
        return False
    ids, counts = np.unique(rows, return_counts=True)
    if len(ids) < MIN_VOCABULARY:
        return False
    padding = ids[counts.argmax()]
    wide = np.where(rows == padding, np.nan, rows.astype(np.float64))
    wide = wide[:, np.isfinite(wide).sum(0) >= 10]
    if wide.shape[1] < 2:
        return False
    apart = float(np.nanmean(wide, axis=0).var()) / max(float(np.nanvar(wide)), 1e-12)
    return apart < ONE_POOL and not _is_smooth(wide)


def _is_smooth(rows: Array) -> bool:
    wide = rows.astype(np.float64)
    order = np.random.default_rng(0).permutation(wide.shape[1])
    with np.errstate(over="ignore"):  # values too large to be squared are not smooth
        neighbours, strangers = (_mean_square(np.diff(some, axis=1)) for some in (wide, wide[:, order]))
    return neighbours < SMOOTH * strangers


def _mean_square(values: npt.NDArray[np.float64]) -> float:
    """The mean square of the known values; 0 if there are none."""
    known = values[np.isfinite(values)]
    return float(np.square(known).mean()) if known.size else 0.0


def _kinds(rows: Array) -> npt.NDArray[np.int8]:
    kinds = np.zeros(rows.shape[1], np.int8)
    for index, column in enumerate(rows.T):
        values = np.unique(column[np.isfinite(column)] if column.dtype.kind == "f" else column)
        if len(values) <= 2:
            kinds[index] = KINDS.index("flag")
        elif len(values) <= MOST_CODES and np.array_equal(values, np.rint(values)):
            kinds[index] = KINDS.index("code")
    return kinds
