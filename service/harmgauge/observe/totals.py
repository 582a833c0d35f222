"""Totals of the counters since the start, and the rates and latencies between two snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Totals:
    """Totals of requests for scores since the start: `rows` scored, `requests` answered, of which `failed` failed;
    `seconds_counts` (b + 1,), requests by time to answer, in the buckets whose upper bounds are `seconds_bounds` (b,).
    """

    rows: float
    requests: float
    failed: float
    queue_rows: float
    seconds_bounds: tuple[float, ...]
    seconds_counts: npt.NDArray[np.float64]


def bucket_quantile(bounds: Sequence[float], counts: npt.NDArray[np.float64], share: float) -> float | None:
    """The quantile of observations of which `counts` (b + 1,) lie in the buckets with upper `bounds` (b,), ascending.

    Interpolates linearly inside a bucket, which begins at 0 or at the previous bound; returns the last bound if the
    quantile lies above all of them, as Prometheus' histogram_quantile does. None without observations.
    """
    total = float(counts.sum())
    if total == 0:
        return None
    rank = share * total
    bucket = int(np.searchsorted(np.cumsum(counts), rank))
    if bucket >= len(bounds):
        return float(bounds[-1])
    below = float(counts[:bucket].sum())
    start = bounds[bucket - 1] if bucket else 0.0
    return float(start + (bounds[bucket] - start) * (rank - below) / counts[bucket])
