"""The state of all sources at one moment, to be sorted, filtered and paged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from harmgauge.drift.accuracy import LEAST_ROWS
from harmgauge.drift.sources.labels import label
from harmgauge.drift.sources.naming import listed
from harmgauge.drift.state import State
from harmgauge.inference.caller import Name

Float64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

Sort = Literal["evidence", "accuracy", "rows", "source"]
Cause = Literal["harm", "change"]

_STATES: tuple[State, ...] = ("warming", "ok", "drifting")


@dataclass(frozen=True)
class SourceState:
    """One source. It is `drifting` from the moment when its `evidence` reached the threshold until it is acknowledged,
    mainly by its `cause`; otherwise `warming` while its baseline is incomplete. `harm` is None without an alarm on
    harm, `accuracy` until there are rows enough for an estimate.
    """

    source: str
    state: State
    cause: Cause | None
    listed: bool
    since: datetime
    last_seen: datetime
    rows: int
    evidence: float
    harm: float | None
    change: float
    accuracy: float | None


@dataclass(frozen=True)
class View:
    """Columns (n,) of n sources, as in `columns.py`; `harm` is None without an alarm on harm, and `errors`, the mean
    P(wrong), is NaN without one. `turned_away` is the number of requests whose source had no slot.
    """

    names: tuple[Name, ...]
    threshold: int
    change: Float64
    harm: Float64 | None
    is_named: Flags
    by_harm: Flags
    is_settled: Flags
    rows: npt.NDArray[np.int64]
    errors: Float64
    since: Float64
    seen: Float64
    turned_away: int

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def evidence(self) -> Float64:
        """The evidence that the threshold is for, (n,): the mean of both kinds."""
        return self.change if self.harm is None else (self.change + self.harm) / 2

    @cached_property
    def is_listed(self) -> Flags:
        """Whether the source stands out now, (n,): see `naming.py`."""
        return listed(self.evidence, self.threshold)

    @property
    def drifting(self) -> int:
        """The number of named sources."""
        return int(np.count_nonzero(self.is_named))

    def states(self, slots: npt.NDArray[np.intp]) -> list[SourceState]:
        """The sources in these slots."""
        return [self._state(slot) for slot in slots.tolist()]

    def select(self, sort: Sort = "evidence", state: State | None = None, prefix: str = "") -> npt.NDArray[np.intp]:
        """The slots of the sources in this state whose labels begin with `prefix`, sorted: by evidence, named ones on
        top and the most evidence first; by accuracy, the lowest first; by rows, the most first; or by label.
        """
        kept = np.ones(len(self), bool) if state is None else self._state_numbers == _STATES.index(state)
        if prefix:
            kept &= np.array([name.startswith(prefix) for name in self._labels], bool)
        slots = np.flatnonzero(kept)
        if sort == "source":
            return np.array(sorted(slots.tolist(), key=self._labels.__getitem__), np.intp)
        found: npt.NDArray[np.intp] = slots[np.lexsort(_ORDERS[sort](self, slots))]
        return found

    @cached_property
    def _labels(self) -> list[str]:
        return [label(name) for name in self.names]

    @cached_property
    def _state_numbers(self) -> npt.NDArray[np.int8]:
        found: npt.NDArray[np.int8] = np.where(self.is_named, 2, self.is_settled).astype(np.int8)
        return found

    def _state(self, slot: int) -> SourceState:
        errors = float(self.errors[slot])
        is_named = bool(self.is_named[slot])
        cause: Cause = "harm" if self.by_harm[slot] else "change"
        return SourceState(
            source=self._labels[slot],
            state=_STATES[self._state_numbers[slot]],
            cause=cause if is_named else None,
            listed=bool(self.is_listed[slot]),
            since=_time(self.since[slot]),
            last_seen=_time(self.seen[slot]),
            rows=int(self.rows[slot]),
            evidence=float(self.evidence[slot]),
            harm=None if self.harm is None else float(self.harm[slot]),
            change=float(self.change[slot]),
            accuracy=1 - errors if self.rows[slot] >= LEAST_ROWS and np.isfinite(errors) else None,
        )


_ORDERS: dict[str, Callable[[View, npt.NDArray[np.intp]], tuple[npt.NDArray[np.generic], ...]]] = {
    "evidence": lambda view, slots: (-view.evidence[slots], ~view.is_named[slots]),
    "accuracy": lambda view, slots: (-view.errors[slots],),
    "rows": lambda view, slots: (-view.rows[slots],),
}
"""Keys of each order, the most important one last; NaN sorts last."""


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
