"""P(wrong) of clean and of harmed traffic, and streams of it through the alarm `harm`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harmgauge.drift import harm_evidence as evidence

Float64 = npt.NDArray[np.float64]

BASE = 0.07
DROP = 0.02
BOUND = BASE + DROP
_SHAPE = 0.15 / 0.073
"""The clean P of the shipped bundle is approximately Beta(.15, 1.9): most rows are certain, some are not."""


def chances(random: np.random.Generator, rows: int, mean: float) -> Float64:
    """P of this many independent rows, with this mean."""
    return random.beta(_SHAPE * mean, _SHAPE * (1 - mean), rows)


def request_rows(random: np.random.Generator, rows: int, largest: int) -> npt.NDArray[np.intp]:
    """Sizes of requests, uniform in 1 to `largest` rows, with at least this many rows in total."""
    sizes = random.integers(1, largest + 1, rows if largest == 1 else 3 * rows // largest + 10)
    return sizes[: int(np.searchsorted(np.cumsum(sizes), rows)) + 1]


class Run(NamedTuple):
    """The result for one stream: rows until the alarm, None if there is none, and the highest evidence."""

    rows: int | None
    highest: float


def run(probabilities: Float64, rows: npt.NDArray[np.intp], between: float, bound: float = BOUND) -> Run:
    """Feed the alarm with P (n,) in requests of `rows`, which sum to n."""
    factor = evidence.factors(evidence.means(probabilities, rows), bound)
    _, values = evidence.bet(np.zeros(len(evidence.STAKES)), factor, rows, evidence.blocks_at_once(bound))
    over = np.flatnonzero(values >= between)
    return Run(int(rows[: over[0] + 1].sum()) if len(over) else None, float(values.max()))


def stream(seed: int, mean: float, rows: int, *, largest: int = 1, between: float = 1e5) -> Run:
    """A seeded stream with constant `mean`, of at least this many rows."""
    random = np.random.default_rng(seed)
    sizes = request_rows(random, rows, largest)
    return run(chances(random, int(sizes.sum()), mean), sizes, between)
