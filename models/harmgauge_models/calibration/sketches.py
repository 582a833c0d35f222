"""Makes the sketches of a bundle's columns from its calibration rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.order_statistics import Boundaries
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.sketches import FLAG_LEVELS, MAX_FLAGS, MISSING, NUMBER_LEVELS, OTHER, Sketches
from harmgauge_models.calibration.monitored_columns import Float64, monitored_columns

MOST_VALUES = 32
"""Flags of one column: further values, and classes, share one."""

LEAST_VALUES = 2
"""The values of a column are not monitored if fewer flags are left for it."""


class _Flag(NamedTuple):
    """Column, code, and the flag of each reference row on which it is known; `word` is what the code stands for."""

    column: int
    code: float
    rows: Float64
    word: str | None = None


def sketches_of(
    rows: AnyRows,
    predictions: npt.NDArray[np.int64],
    columns: RowColumns,
    *,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Sketches:
    """The sketches of the `columns` of n rows, and of their predicted classes (n,)."""
    found = monitored_columns(rows, columns, say)
    flags = _values(len(found), predictions.astype(np.float64), MOST_VALUES)
    missing = [at for at, column in enumerate(found) if column.may_miss][: MAX_FLAGS // 2]
    flags += [_Flag(at, MISSING, np.isnan(found[at].values).astype(np.float64)) for at in missing]
    categories = [at for at, column in enumerate(found) if column.compares == "categories"]
    for number, at in enumerate(categories):
        room = (MAX_FLAGS - len(flags)) // (len(categories) - number)
        if room >= LEAST_VALUES:
            flags += _values(at, found[at].known, min(room, MOST_VALUES), found[at].words)
    flags.sort(key=lambda flag: flag.column)
    numbers = [at for at, column in enumerate(found) if column.compares == "numbers"]
    kept = sorted({*numbers, *(flag.column for flag in flags if flag.column < len(found))})
    if len(kept) < len(found):
        say(f"{len(found) - len(kept)} columns are not monitored: too few values are known, or too many are categories")
    place = {at: number for number, at in enumerate([*kept, len(found)])}
    words = sorted({flag.word for flag in flags if flag.word is not None})
    numbered = {word: float(code) for code, word in enumerate(words)}
    random = np.random.default_rng(seed)
    known = [found[at].known for at in numbers]
    return Sketches(
        positions=np.array([found[at].position for at in kept], np.int64),
        numbers=np.array([place[at] for at in numbers], np.int64),
        number_bounds=Boundaries.of(known, NUMBER_LEVELS, random),
        ranges=np.array([(own.min(), own.max()) for own in known]).reshape(-1, 2),
        flags=np.array([place[flag.column] for flag in flags], np.int64),
        codes=np.array([flag.code if flag.word is None else numbered[flag.word] for flag in flags]),
        flag_counts=np.array([flag.rows.sum() for flag in flags]).astype(np.int64),
        flag_bounds=Boundaries.of([flag.rows for flag in flags], FLAG_LEVELS, random),
        words=np.array(words, np.str_),
    )


def _values(column: int, known: Float64, most: int, words: Sequence[str] = ()) -> list[_Flag]:
    """A flag for each of the most frequent values, and one for all others, also for those that are new: `most`
    together.
    """
    values, counts = np.unique(known, return_counts=True)
    if words:
        values, counts = values[values < len(words)], counts[values < len(words)]
    kept = np.sort(values[np.argsort(-counts, kind="stable")[: most - 1]])
    found = [
        _Flag(column, value, (known == value).astype(np.float64), words[int(value)] if words else None)
        for value in kept.tolist()
    ]
    return [*found, _Flag(column, OTHER, (~np.isin(known, kept)).astype(np.float64))]
