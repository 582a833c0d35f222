"""Latency at half the capacity: the service's p99/p50, relative to that of bare ONNX Runtime."""

from __future__ import annotations

import math
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harmgauge.bundle.rows import Rows
from harmgauge.inference.providers import usable_cores
from tests.bench.bare import Baseline
from tests.bench.load import paced_loop
from tests.bench.percentiles import percentile
from tests.bench.requests import Case
from tests.support.process import RunningService


@dataclass(frozen=True)
class Latency:
    p50_seconds: float
    p99_seconds: float

    @property
    def spread(self) -> float:
        return self.p99_seconds / self.p50_seconds

    def __str__(self) -> str:
        return f"p50 {self.p50_seconds * 1e3:.2f} ms, p99 {self.p99_seconds * 1e3:.2f} ms"


@dataclass(frozen=True)
class HalfLoad:
    """`alone`: bare runs one after another. `queued`: bare runs under the same arrivals as the service, because waiting
    for a core that is busy is not the service's doing.
    """

    requests_per_second: float
    service: Latency
    alone: Latency
    queued: Latency

    @property
    def over_alone(self) -> float:
        return self.service.spread / self.alone.spread

    @property
    def over_queued(self) -> float:
        return self.service.spread / self.queued.spread

    def __str__(self) -> str:
        return (
            f"Single raw rows at half the capacity ({self.requests_per_second:.0f} requests/s, random pauses): "
            f"{self.service}. Bare runs one after another: {self.alone}; under the same arrivals: {self.queued}. The "
            f"service's p99/p50 is {self.over_alone:.2f} times the former's, {self.over_queued:.2f} times the latter's."
        )


def measure(
    service: RunningService, case: Case, baseline: Baseline, row: Rows, requests_per_second: float, seconds: float
) -> HalfLoad:
    """`row` (1, *shape) is that of the case."""
    alone = baseline.run(row, seconds / 4, threads=1)
    queued = bare_arrivals(baseline, row, requests_per_second, seconds)
    url = f"http://127.0.0.1:{service.port}{case.path}"
    load = paced_loop(url, [case.body], case.media_type, requests_per_second, seconds)
    return HalfLoad(
        requests_per_second,
        Latency(load.p50_seconds, load.p99_seconds),
        Latency(alone.p50_seconds, alone.p99_seconds),
        queued,
    )


def bare_arrivals(baseline: Baseline, row: Rows, per_second: float, seconds: float) -> Latency:
    """Bare runs at random moments, in the order of arrival, on one thread per core.

    A Poisson stream, of whole milliseconds like wrk's pauses: several arrive at once more often.
    """
    chance, lock = random.Random(0), threading.Lock()
    begin = due = time.perf_counter()

    def arrival() -> float:
        nonlocal due
        with lock:
            due += chance.expovariate(per_second)
            return math.ceil(due * 1e3) / 1e3

    def work(_: int) -> list[float]:
        latencies = []
        while (at := arrival()) < begin + seconds:
            time.sleep(max(0, at - time.perf_counter()))
            baseline.runtime.run(row)
            latencies.append(time.perf_counter() - at)
        return latencies

    with ThreadPoolExecutor(usable_cores()) as pool:
        latencies = sorted(latency for part in pool.map(work, range(usable_cores())) for latency in part)
    return Latency(percentile(latencies, 50), percentile(latencies, 99))
