"""The captured part of a request: its flagged rows and their origin. Rows are held by reference if that is cheaper."""

from __future__ import annotations

import time
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.named_rows import held_bytes as held_by
from harmgauge.inference.caller import Origin
from harmgauge.inference.scorer import Scored

REQUEST_BYTES = 1024
ROW_BYTES = 512
"""Generous estimate of the memory of a request and of a row, apart from the inputs."""

_FRAME_BYTES = 1024
"""Size of the other parts of a body, such as a header: too little to justify a copy."""


class Source(NamedTuple):
    """Identifies the bundle that scored; a reference to the bundle would keep it in memory while its rows wait.

    `bundle` is its key, `threshold` the float32 that scores are compared with.
    """

    model: str
    version: str
    bundle: str
    sha256: str
    threshold: float
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        manifest = bundle.manifest
        threshold = float(bundle.threshold)
        return cls(manifest.name, manifest.version, bundle.key, bundle.sha256, threshold, manifest.class_names)


class Flagged(NamedTuple):
    """The k captured rows of one request: `positions` (k,) within the request, `scores` (k,) float32, `predictions`
    (k,) int64, and `error_probability` (k,) float32 if the bundle provides it.

    `rows` are the captured rows, or all rows if `is_all`; `time` is Unix time in seconds.
    """

    source: Source
    origin: Origin
    time: float
    positions: npt.NDArray[np.intp]
    scores: npt.NDArray[np.float32]
    predictions: npt.NDArray[np.int64]
    rows: AnyRows
    is_all: bool
    error_probability: npt.NDArray[np.float32] | None = None

    @property
    def inputs(self) -> AnyRows:
        """The captured rows, k of them."""
        return self.rows[self.positions] if self.is_all and len(self.positions) < len(self.rows) else self.rows

    @property
    def held_bytes(self) -> int:
        """The memory that this prevents from being freed."""
        return held_by(self.rows) + len(self.positions) * ROW_BYTES + REQUEST_BYTES


def held_bytes(rows: AnyRows, kept: int) -> int:
    """Bytes that `take` will hold for these rows, n >= 1, if it keeps `kept` of them."""
    return _taken(rows, kept)[1] + kept * ROW_BYTES + REQUEST_BYTES


def take(source: Source, origin: Origin, rows: AnyRows, scored: Scored, positions: npt.NDArray[np.intp]) -> Flagged:
    """Capture the rows at `positions` (k,), ascending, k >= 1, of `rows`, which must no longer change.

    Copies them if that frees at least as much of the body that they belong to: larger copies would cost the event loop
    more than they save.
    """
    is_all, _ = _taken(rows, len(positions))
    return Flagged(
        source=source,
        origin=origin,
        time=time.time(),
        positions=positions,
        scores=scored.scores[positions],
        predictions=scored.predictions[positions],
        rows=rows if is_all else rows[positions],
        is_all=is_all,
        error_probability=None if scored.error_probability is None else scored.error_probability[positions],
    )


def _taken(rows: AnyRows, kept: int) -> tuple[bool, int]:
    """Whether to hold all rows rather than copies of `kept` of them, and the bytes that this takes."""
    all_bytes, copied_bytes = held_by(rows), rows.nbytes // len(rows) * kept
    is_all = all_bytes < 2 * copied_bytes + _FRAME_BYTES
    return is_all, all_bytes if is_all else copied_bytes
