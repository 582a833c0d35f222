"""How long the service takes to become ready, and its memory at rest."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from tests.bench.options import BUNDLE, PRECISION
from tests.bench.proc import cpu_time, resident_mib
from tests.support.process import fresh_service

REST_SECONDS = 2.0
"""After this time the threads that start with the service have done their first work."""


@dataclass(frozen=True)
class Startup:
    """Medians of the starts. `ready_seconds` ends with the first 200 of `/readyz`; `cpu_seconds` is the CPU time until
    then, which other work on the machine hardly changes.
    """

    ready_seconds: float
    cpu_seconds: float
    resident_mib: float

    def __str__(self) -> str:
        return (
            f"Ready in {self.ready_seconds:.2f} s ({self.cpu_seconds:.2f} s of CPU time); {self.resident_mib:.0f} MiB "
            "at rest."
        )


def measure(starts: int) -> Startup:
    """Start the service this many times, each in a new interpreter."""
    seen = [_start() for _ in range(starts)]
    columns = zip(*((found.ready_seconds, found.cpu_seconds, found.resident_mib) for found in seen), strict=True)
    return Startup(*map(statistics.median, columns))


def _start() -> Startup:
    begin = time.perf_counter()
    with fresh_service(BUNDLE, precision=PRECISION) as service:
        while service.client.get("/readyz").status_code != 200:
            time.sleep(0.01)
        ready = time.perf_counter() - begin
        cpu = cpu_time(service.process.pid).seconds
        time.sleep(REST_SECONDS)
        return Startup(ready, cpu, resident_mib(service.process.pid))
