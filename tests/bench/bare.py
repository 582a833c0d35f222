"""The baseline: ONNX Runtime alone, with the served graph, on the same cores."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Rows
from harmgauge.inference.providers import usable_cores
from harmgauge.inference.runtime import OnnxRuntime


@dataclass(frozen=True)
class Bare:
    """`rows_per_second` is for all cores together; `latency_seconds` is the median of a run with no other load."""

    rows_per_second: float
    latency_seconds: float


def measure(bundle: Bundle, rows: Rows, seconds: float) -> Bare:
    """Run `rows` (n, *shape) repeatedly: on one thread first, then on one thread per core."""
    runtime = OnnxRuntime(bundle, "cpu", max_batch_rows=len(rows))
    runs: list[float] = []
    end = time.perf_counter() + seconds / 4
    while time.perf_counter() < end:
        begin = time.perf_counter()
        runtime.run(rows)
        runs.append(time.perf_counter() - begin)

    end = time.perf_counter() + seconds

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            runtime.run(rows)
            done += len(rows)
        return done

    with ThreadPoolExecutor(usable_cores()) as pool:
        total = sum(pool.map(work, range(usable_cores())))
    return Bare(total / seconds, statistics.median(runs))
