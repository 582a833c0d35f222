"""Two services under the same load in turns, so that other work on the machine affects both."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.load import Load, mixed_loop
from tests.bench.proc import cpu_time
from tests.bench.requests import RAW
from tests.bench.service import settle
from tests.support.process import RunningService


@dataclass(frozen=True)
class Seen:
    """A load, and the CPU time that each request cost the service, which other work on the machine hardly changes."""

    load: Load
    cpu_seconds: float


def measure(
    service: RunningService, sent: Sequence[bytes], connections: int, seconds: float, *, sources: int = 0
) -> Seen:
    """Send random ones of these raw bodies, from random ones of `sources` sources, or without a source if that is 0."""
    settle(service)
    before = cpu_time(service.process.pid).seconds
    url = f"http://127.0.0.1:{service.port}/score"
    seen = mixed_loop(url, sent, RAW, connections, seconds, sources=sources)
    spent = cpu_time(service.process.pid).seconds - before
    return Seen(seen, spent / seen.requests)


def quartiles(ratios: Sequence[float]) -> str:
    """The median with the quartiles, which show how much rounds differ."""
    first, middle, third = statistics.quantiles(ratios, n=4)
    return f"{middle:.3f} ({first:.3f} to {third:.3f})"
