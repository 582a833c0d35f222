"""A line of the benchmark's table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A kind of request at a number of connections; `ratio` is its throughput in rows, of the bare run on all cores."""

    request: str
    connections: int
    rows_per_second: float
    ratio: float
    p50_seconds: float
    p99_seconds: float


def median(lines: Sequence[Line]) -> Line:
    """The median of each figure of the same request at the same number of connections."""
    return Line(lines[0].request, lines[0].connections, **medians(lines))


def medians(lines: Sequence[Line]) -> dict[str, float]:
    """The medians by name."""
    names = ("rows_per_second", "ratio", "p50_seconds", "p99_seconds")
    return {name: statistics.median(getattr(line, name) for line in lines) for name in names}
