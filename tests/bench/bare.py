"""The baseline: ONNX Runtime alone, with the served graph, on the same cores."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Rows
from harmgauge.inference.providers import usable_cores
from harmgauge.inference.runtime import OnnxRuntime


@dataclass(frozen=True)
class Bare:
    """`rows_per_second` is for all cores together; `latency_seconds` is the median of a run with no other load;
    `cpu_seconds` is for a row, with all cores busy.
    """

    rows_per_second: float
    latency_seconds: float
    cpu_seconds: float


def measure(bundle: Bundle, rows: Rows, seconds: float) -> Bare:
    """Run `rows` (n, *shape) repeatedly: on one thread first, then on one thread per core."""
    runtime = OnnxRuntime(bundle, "cpu", max_batch_rows=len(rows))
    return measure_calls(lambda _: runtime.run(rows), len(rows), seconds)


def measure_calls(run: Callable[[int], object], rows: int, seconds: float) -> Bare:
    """The same for calls of `run` with the number of the call, each with this many rows."""
    runs: list[float] = []
    end = time.perf_counter() + seconds / 4
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run(len(runs))
        runs.append(time.perf_counter() - begin)

    end, begin_cpu = time.perf_counter() + seconds, time.process_time()

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            run(done)
            done += 1
        return done

    with ThreadPoolExecutor(usable_cores()) as pool:
        calls = sum(pool.map(work, range(usable_cores())))
    cpu_seconds = (time.process_time() - begin_cpu) / (calls * rows)
    return Bare(calls * rows / seconds, statistics.median(runs), cpu_seconds)
