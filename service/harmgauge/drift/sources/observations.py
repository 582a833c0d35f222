"""Observations of sources, which the bets are on: each has one or more rows, which may be correlated in any way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from harmgauge.drift.sources.columns import HALF_LINES

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observations:
    """k observations, in the order of the rows: `slots` (k,) of their sources; `rows` (k,) each has; `hits`
    (k, HALF_LINES), the number of these rows in each half-line of the reference; `errors` (k,), their mean P(wrong),
    or None if the bundle gives none.
    """

    slots: npt.NDArray[np.intp]
    rows: Float64
    hits: Float64
    errors: Float64 | None

    def only(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Self:
        """Those for which `kept` (k,) is true, or at these places."""
        return type(self)(
            self.slots[kept], self.rows[kept], self.hits[kept], None if self.errors is None else self.errors[kept]
        )


class Merger:
    """Makes one observation of all rows that a source sends within `interval_seconds` of the first of them: the frames
    of one scene are not independent of each other.

    `most` is the number of slots. An observation is complete once its interval is over.
    """

    def __init__(self, interval_seconds: float, most: int, with_errors: bool) -> None:
        self._interval_seconds = interval_seconds
        self._rows = np.zeros(most)
        self._hits = np.zeros((most, HALF_LINES), np.float32)
        self._errors = np.zeros(most) if with_errors else None
        self._began = np.zeros(most)

    def add(self, found: Observations, times: Float64) -> Observations:
        """Add observations made at `times` (k,), in seconds and in rising order; returns those that are now complete,
        those of each source in the order in which they were completed.
        """
        complete = []
        left = np.arange(len(found.slots))
        while len(left):  # the next observation of each source, all sources at once
            slots, first = np.unique(found.slots[left], return_index=True)
            now = left[first]
            is_over = (self._rows[slots] > 0) & (times[now] >= self._began[slots] + self._interval_seconds)
            complete.append(self._taken(slots[is_over]))
            fresh = self._rows[slots] == 0
            self._began[slots[fresh]] = times[now[fresh]]
            self._rows[slots] += found.rows[now]
            self._hits[slots] += found.hits[now]
            if self._errors is not None and found.errors is not None:
                self._errors[slots] += found.errors[now] * found.rows[now]
            left = np.delete(left, first)
        return joined(complete)

    def over(self, now: float) -> Observations:
        """The observations whose intervals are over, although no further row of their sources has arrived."""
        return self._taken(np.flatnonzero((self._rows > 0) & (now >= self._began + self._interval_seconds)))

    def forget(self, slots: npt.NDArray[np.intp]) -> None:
        """Drop the incomplete observations of these slots."""
        self._taken(slots)

    def _taken(self, slots: npt.NDArray[np.intp]) -> Observations:
        rows = self._rows[slots]
        errors = None if self._errors is None else self._errors[slots] / np.maximum(rows, 1)
        found = Observations(slots, rows, self._hits[slots].astype(np.float64), errors)
        self._rows[slots] = 0
        self._hits[slots] = 0
        if self._errors is not None:
            self._errors[slots] = 0
        return found


def joined(parts: list[Observations]) -> Observations:
    """All of these, in this order; there is one part at least."""
    errors = [part.errors for part in parts if part.errors is not None]
    return Observations(
        np.concatenate([part.slots for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.hits for part in parts]),
        np.concatenate(errors) if errors else None,
    )
