"""The inputs of drift detectors, and the common shape of their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import rows_read
from harmgauge.drift.window import Held
from harmgauge.inference.caller import Name

State = Literal["warming", "ok", "drifting"]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Blocks:
    """The scores of some requests, concatenated: `scores` (n,), oldest first, all finite; `rows` (k,), the number of
    rows of each request; `clients` (k,), the name of each request's client, if it gave one, and `sources` (k,), that of
    its source; `features` (n, d) float32, and `error_probability` (n,) float32, if the bundle gives them; `predictions`
    (n,), the classes' indices; `times` (k,), when each request was answered, by `time.monotonic`; `values` (m, c + 1),
    those of the columns that the bundle monitors, as `ColumnValues` reads them from each request.
    """

    scores: npt.NDArray[np.floating]
    rows: npt.NDArray[np.intp]
    clients: tuple[Name | None, ...]
    features: npt.NDArray[np.float32] | None = None
    times: npt.NDArray[np.float64] | None = None
    error_probability: npt.NDArray[np.float32] | None = None
    predictions: npt.NDArray[np.int64] | None = None
    sources: tuple[Name | None, ...] | None = None
    values: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, scores: npt.NDArray[np.floating], rows: int | None = None) -> Blocks:
        """Split scores into requests of `rows` each, which must divide their number; by default they are one
        request.
        """
        each = rows or len(scores)
        count = len(scores) // each if each else 0
        return cls(scores, np.full(count, each, np.intp), (None,) * count)

    def only(self, kept: npt.NDArray[np.bool_]) -> Blocks:
        """The requests for which `kept` (k,) is true."""
        rows = np.repeat(kept, self.rows)
        return Blocks(
            scores=self.scores[rows],
            rows=self.rows[kept],
            clients=tuple(client for client, keep in zip(self.clients, kept, strict=True) if keep),
            features=None if self.features is None else self.features[rows],
            times=None if self.times is None else self.times[kept],
            error_probability=None if self.error_probability is None else self.error_probability[rows],
            predictions=None if self.predictions is None else self.predictions[rows],
            sources=None
            if self.sources is None
            else tuple(source for source, keep in zip(self.sources, kept, strict=True) if keep),
            values=None if self.values is None else self.values[np.repeat(kept, rows_read(self.rows))],
        )


Detail = str | int | float | datetime | None
"""A value that only one detector reports."""


@dataclass(frozen=True)
class DriftState:
    """The current state of one detector. `p_value` and `statistic` are None until there is something to report.

    The alarm depends on the p-value, at or below `p_value_threshold`, or else on the statistic, at or above `threshold`
    (None if only the p-value decides). `log10_p_value` is exact even if the p-value is too small for a float64. `rows`
    are those in the window of `window_rows` (or all rows if that is None), `total_rows` those since the detector
    started. `scores` are those that the figures were computed from, (rows,) float64, oldest first, for a detector with
    a window of scores; `since` is the start of the current `state`.

    `details` are specific to the detector: additional fields on `/drift`. `gauges` are the current values of the
    detector's own metrics, without those that have no value yet.
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
    log10_p_value: float | None = None
    p_value_threshold: float | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)


class DriftDetector(Protocol):
    """Turns rows into a state. Used on the event loop; slow work goes to a thread."""

    name: str

    gauges: ClassVar[Mapping[str, str]]
    """The detector's own metrics, named `harmgauge_NAME`, with their help texts."""

    def observe(self, blocks: Blocks) -> None: ...
    async def state(self) -> DriftState: ...
    def reset(self) -> None: ...

    @property
    def version(self) -> int:
        """Changes with every score and every reset."""

    def dump(self) -> Mapping[str, npt.NDArray[Any] | Held]:
        """The whole state as copies, or with windows by reference, to be copied on a thread."""

    def restore(self, dumped: dict[str, npt.NDArray[Any]]) -> None:
        """Resume from a dump. Raises ValueError or KeyError, and changes nothing, if it is not valid.

        The arrays may contain anything, because the file may have been tampered with. `dumped.py` validates them.
        """
