"""The baseline: ONNX Runtime alone, with the served graph, on the same cores."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Rows
from harmgauge.inference.providers import usable_cores
from harmgauge.inference.runtime import MAX_BATCH_ROWS_CPU, OnnxRuntime
from tests.bench.percentiles import percentile
from tests.bench.proc import CpuTime


@dataclass(frozen=True)
class Bare:
    """The results of a run. `rows_per_second` is that of all its threads together; latencies are those of one call."""

    rows_per_second: float
    cpu_per_row: CpuTime
    p50_seconds: float
    p99_seconds: float


class Baseline:
    """A session like the service's, with nothing around it."""

    def __init__(self, bundle: Bundle) -> None:
        self.runtime = OnnxRuntime(bundle, "cpu")

    def run(self, rows: Rows, seconds: float, threads: int | None = None) -> Bare:
        """Run `rows` (n, *shape) repeatedly, on one thread per core by default.

        More rows than the service runs at once are run in pieces, as the service does.
        """
        piece = rows[:MAX_BATCH_ROWS_CPU]
        return run_calls(lambda _: self.runtime.run(piece), len(piece), seconds, threads)


def run_calls(run: Callable[[int], object], rows: int, seconds: float, threads: int | None = None) -> Bare:
    """Call `run`, for this many rows each, with the number of the thread's call; on one thread per core by default."""
    begin = time.perf_counter()
    end = begin + seconds

    def work(_: int) -> tuple[list[float], CpuTime]:
        before, calls = _thread_time(), list[float]()
        while (now := time.perf_counter()) < end:
            run(len(calls))
            calls.append(time.perf_counter() - now)
        return calls, _thread_time() - before

    count = threads or usable_cores()
    with ThreadPoolExecutor(count) as pool:
        done = list(pool.map(work, range(count)))
    took_seconds = time.perf_counter() - begin
    latencies = sorted(latency for calls, _ in done for latency in calls)
    run_rows = len(latencies) * rows
    spent = sum((cpu for _, cpu in done), CpuTime())
    return Bare(run_rows / took_seconds, spent * (1 / run_rows), percentile(latencies, 50), percentile(latencies, 99))


def _thread_time() -> CpuTime:
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return CpuTime(used.ru_utime, used.ru_stime)
