"""The state of all columns at one moment, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from harmgauge.bundle import column_values
from harmgauge.bundle.sketches import OTHER, Sketches
from harmgauge.drift.columns.saved import Marks
from harmgauge.drift.state import State

Float64 = npt.NDArray[np.float64]

Kind = Literal["number", "text", "category", "prediction"]
SHOWN_CHARACTERS = 40
"""Length of a category in a sentence."""

Change = Literal["higher", "lower", "more", "less"]


@dataclass(frozen=True)
class ColumnState:
    """One column. It is `drifting` from the moment when its `evidence` reached the threshold until it is acknowledged.

    Then `direction` is the change of its values, or of the share of one `value` (null for a missing one, absent for
    numbers), and `sentence` describes it with the newest rows. `middle` is the median and `missing` the share of
    missing values; both are of the newest rows and None if there is nothing to compute them from. Those of the
    reference have the prefix `reference_`; they are None for a column without numbers, or without missing values. The
    numbers of a text are its characters.
    """

    column: str
    kind: Kind
    state: State
    since: datetime
    rows: int
    evidence: float
    highest: float
    direction: Change | None
    sentence: str | None
    middle: float | None
    reference_middle: float | None
    missing: float | None
    reference_missing: float | None


@dataclass(frozen=True)
class View:
    """Columns (c + 1,), the predicted class last; `rows` (c + 1,) counts the rows of each since the last
    acknowledgement; `recent` (n, c + 1) are the newest rows, NaN for a missing value.

    `missing` (c,) counts the missing values of each column since the bundle was loaded, `out_of_range` (k,) the values
    of each column of numbers below the least or above the greatest of the reference.
    """

    sketches: Sketches
    names: tuple[str, ...]
    kinds: tuple[column_values.Kind, ...]
    class_names: tuple[str, ...]
    threshold: int
    rows: npt.NDArray[np.int64]
    is_monitored: npt.NDArray[np.bool_]
    evidence: Float64
    marks: Marks
    recent: Float64
    missing: npt.NDArray[np.int64]
    out_of_range: npt.NDArray[np.int64]

    @property
    def drifting(self) -> int:
        """The number of named columns."""
        return int(np.count_nonzero(self.marks.is_named))

    @property
    def monitored(self) -> list[int]:
        """All columns that are monitored."""
        found: list[int] = np.flatnonzero(self.is_monitored).tolist()
        return found

    def states(self, most: int | None = None) -> list[ColumnState]:
        """All columns, or the first `most`: named ones first, then by evidence."""
        order = np.lexsort((-self.evidence, ~self.marks.is_named))
        return [self.state(at) for at in order[self.is_monitored[order]][:most].tolist()]

    def state(self, column: int) -> ColumnState:
        """One column."""
        marks, sketches = self.marks, self.sketches
        number = _place(sketches.numbers, column)
        gaps = self._flag(column, np.nan)
        known = self.recent[:, column]
        known = known[~np.isnan(known)]
        is_named = bool(marks.is_named[column])
        since = datetime.fromtimestamp(float(marks.since[column]), UTC)
        direction, what = self._change(column) if is_named else (None, "")
        return ColumnState(
            column=self.names[column],
            kind=_shown(self.kinds[column]),
            state="drifting" if is_named else "ok",
            since=since,
            rows=int(self.rows[column]),
            evidence=float(self.evidence[column]),
            highest=float(marks.highest[column]),
            direction=direction,
            sentence=f"since {since:%d %b %H:%M} UTC: {what}" if is_named else None,
            middle=None if number is None or not len(known) else float(np.median(known)),
            reference_middle=None if number is None else float(sketches.number_bounds.values[0, number]),
            missing=None if gaps is None or not len(self.recent) else 1 - len(known) / len(self.recent),
            reference_missing=None if gaps is None else self._reference_share(gaps),
        )

    def _change(self, column: int) -> tuple[Change, str]:
        """Direction of a named column, and its change in words."""
        sketches, name = self.sketches, f"`{self.names[column]}`"
        cause, is_higher = int(self.marks.cause[column]), bool(self.marks.is_higher[column])
        recent = self.recent[:, column]
        if cause < len(sketches.numbers):
            known = recent[~np.isnan(recent)]
            before = float(sketches.number_bounds.values[0, cause])
            is_text = self.kinds[column] == "text"
            unit = " characters" if is_text else ""
            middle = f" (middle {before:.4g} -> {float(np.median(known)):.4g}{unit})" if len(known) else ""
            direction: Change = "higher" if is_higher else "lower"
            word = ("longer" if is_higher else "shorter") if is_text else direction
            return direction, f"{name} {word}{middle}"
        flag = cause - len(sketches.numbers)
        code = float(sketches.codes[flag])
        direction = "more" if is_higher else "less"
        shares = f"{_percent(self._reference_share(flag))} -> {_percent(self._recent_share(flag))}"
        if np.isnan(code):
            return direction, f"{name} missing {direction} often ({shares})"
        if code == OTHER:
            return direction, f"{name}: new or rare values {direction} often ({shares})"
        return direction, f"{name}: {self._value(column, code)} {direction} often ({shares})"

    def _value(self, column: int, code: float) -> str:
        kind = self.kinds[column]
        if kind not in ("prediction", "word"):
            return f"{code:.6g}"
        names = self.class_names if kind == "prediction" else self.sketches.words
        name = str(names[int(code)])
        return f"`{name}`" if len(name) <= SHOWN_CHARACTERS else f"`{name[:SHOWN_CHARACTERS]}...`"

    def _flag(self, column: int, code: float) -> int | None:
        """The flag of a column with this code."""
        codes = self.sketches.codes
        own = np.flatnonzero((self.sketches.flags == column) & ((codes == code) | (np.isnan(codes) & np.isnan(code))))
        return int(own[0]) if len(own) else None

    def _reference_share(self, flag: int) -> float:
        return float(self.sketches.flag_counts[flag] / self.sketches.flag_bounds.rows[flag])

    def _recent_share(self, flag: int) -> float | None:
        code, column = float(self.sketches.codes[flag]), int(self.sketches.flags[flag])
        recent = self.recent[:, column]
        if np.isnan(code):
            return float(np.isnan(recent).mean()) if len(recent) else None
        known = recent[~np.isnan(recent)]
        if not len(known):
            return None
        if code != OTHER:
            return float((known == code).mean())
        return float((~np.isin(known, self.sketches.codes[self.sketches.flags == column])).mean())


def _place(numbers: npt.NDArray[np.int64], column: int) -> int | None:
    found = np.flatnonzero(numbers == column)
    return int(found[0]) if len(found) else None


def _shown(kind: column_values.Kind) -> Kind:
    return "category" if kind == "word" else kind


def _percent(share: float | None) -> str:
    return "none seen" if share is None else f"{100 * share:.3g} %"
