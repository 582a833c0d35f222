"""What drift detectors take, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.drift.evidence import Direction

State = Literal["warming", "ok", "drifting"]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """The scores of some requests, one after the other: `scores` (n,), oldest first, all finite; `rows` (k,), how many
    are of which request; `clients` (k,), the key of each request's client, where it gave one; `features` (n, d)
    float32, where the bundle gives them; `times` (k,), when each request was answered, by `time.monotonic`.
    """

    scores: npt.NDArray[np.floating]
    rows: npt.NDArray[np.intp]
    clients: tuple[str | None, ...]
    features: npt.NDArray[np.float32] | None = None
    times: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating], rows: int | None = None) -> Blocks:
        """Scores as requests of `rows` each, which must divide them; as one request if left out."""
        each = rows or len(scores)
        count = len(scores) // each if each else 0
        return cls(scores, np.full(count, each, np.intp), (None,) * count)


@dataclass(frozen=True)
class EvidenceState:
    """`value` is the evidence, `highest` its peak since it last began at nothing; `design_effect` is how many times
    fewer independent scores the traffic is worth than it has (None before there is anything to tell it from).
    """

    value: float
    highest: float
    direction: Direction
    design_effect: float | None
    tolerance: float


@dataclass(frozen=True)
class CadenceState:
    """Of a detector that tests now and then: at least so many rows lie between tests; when the last one was; the rows
    that came after those of the last result (`rows_between_tests` or more: a test is due, or runs).
    """

    rows_between_tests: int
    tested_at: datetime | None
    untested_rows: int


@dataclass(frozen=True)
class DriftState:
    """One detector as it stands. `p_value` and `statistic` are None until there is something to tell.

    `threshold` is the statistic at which the alarm is given, `p_value_threshold` the p-value at or below which it is;
    either is None where the alarm does not go by it. `rows` are those in the window of `window_rows` (or of
    all time, where that is None), `total_rows` those since the detector began. `scores` are what the figures were
    computed from, (rows,) float64, oldest first, of a detector with a window of scores; `since` is when `state` began.
    """

    state: State
    p_value: float | None
    statistic: float | None
    threshold: float | None
    window_rows: int | None
    rows: int
    reference_rows: int
    rows_between_false_alarms: int
    since: datetime
    total_rows: int
    scores: Scores | None = None
    evidence: EvidenceState | None = None
    log10_p_value: float | None = None
    p_value_threshold: float | None = None
    cadence: CadenceState | None = None


class DriftDetector(Protocol):
    """Rows in, state out. Used on the event loop; what takes long goes to a thread."""

    name: str

    def observe(self, blocks: Blocks) -> None: ...
    async def state(self) -> DriftState: ...
    def reset(self) -> None: ...

    @property
    def version(self) -> int:
        """Changes with every score and every reset."""

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """All that it knows, as copies."""

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from there. Raises ValueError or KeyError where it does not fit, having changed nothing."""
