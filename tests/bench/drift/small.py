"""Small references, warmed ones and slow drift: what was asked of `score_evidence`, and what it does."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.drift.detectable import GOOD_REFERENCE_ROWS
from tests.bench.drift.plan import STREAMS, table
from tests.bench.drift.streams import Streams, found_and_median

CONFIRMED_ROWS = 5000
SLOW_ROWS = 20_000
QUICK_TIMES = 5
"""As many times as many streams if the reference is good and the alarms are quick."""


def slowly(index: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """The harmful share: from 0 to 10 % within SLOW_ROWS."""
    return 0.1 * np.clip(index / SLOW_ROWS, 0, 1)


@dataclass(frozen=True)
class Bar:
    """`asked_rows` is the largest median, `asked_found` the smallest share of streams with an alarm."""

    name: str
    streams: Streams
    asked_rows: float
    asked_found: float = 0.5

    def row(self) -> list[str]:
        found, median = found_and_median(self.streams.rows_to_alarm())
        is_met = found >= self.asked_found and median <= self.asked_rows
        asked = f"{self.asked_rows:,.0f}" + (f", found >= {self.asked_found:g}" if self.asked_found > 0.5 else "")
        row = [self.name, asked, f"{found:.3f}", f"{median:,.0f}", "yes" if is_met else "no"]
        tqdm.write(" | ".join(row), file=sys.stderr)
        return row


def bars() -> list[Bar]:
    def streams(reference_rows: int, share: float, tolerance: float, clean_rows: int = 0) -> Streams:
        count = STREAMS if reference_rows < GOOD_REFERENCE_ROWS else QUICK_TIMES * STREAMS
        return Streams(reference_rows, share, count, tolerance, clean_rows=clean_rows)

    warmed = CONFIRMED_ROWS
    found = [
        Bar("200 rows, 10 % harmful, tolerance .01", streams(200, 0.1, 0.01), 1600, 0.9),
        Bar("the same, tolerance 0", streams(200, 0.1, 0), 750, 0.95),
        Bar(f"200 and {warmed:,} confirmed, 10 %, .01", streams(200 + warmed, 0.1, 0.01), 260),
        Bar("500 rows, 5 %, 0", streams(500, 0.05, 0), 2000, 0.95),
        Bar(f"500 and {warmed:,} confirmed, 5 %, .01", streams(500 + warmed, 0.05, 0.01), 900),
        Bar("the same, after 2,000 clean rows", streams(500 + warmed, 0.05, 0.01, clean_rows=2000), 900),
        Bar("500 rows, 0 to 10 % within 20,000 rows, 0", Streams(500, slowly, STREAMS, 0), 6500),
        Bar(f"500 and {warmed:,} confirmed, the same, .01", Streams(500 + warmed, slowly, STREAMS, 0.01), 9500),
    ]
    today = {0.05: 308, 0.1: 100, 0.2: 46, 0.5: 12}
    found += [Bar(f"5,000 rows, {share:.0%}, 0", streams(5000, share, 0), 1.15 * rows) for share, rows in today.items()]
    return found


def section() -> str:
    rows = [bar.row() for bar in tqdm(bars(), desc="small references")]
    return (
        f"Share of {STREAMS} streams (with {GOOD_REFERENCE_ROWS:,} reference rows or more: {QUICK_TIMES * STREAMS}) "
        "with an alarm within 20,000 rows, and the median of their rows to it; 1,000,000 rows between false alarms:\n\n"
        + table(["reference, harmful, tolerance", "asked", "found", "median rows", "met"], rows)
    )
