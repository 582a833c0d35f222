"""Three times the capacity: how much is still served, and how long accepted requests wait."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmgauge.bundle.manifest import Precision
from harmgauge.bundle.rows import Rows
from tests.bench.load import closed_loop, open_loop
from tests.support.process import fresh_service

REQUEST_ROWS = 8
"""With smaller requests, three times the capacity would measure the load generator, which shares the cores."""

QUEUE_ROWS = 512
TIMES = 3


@dataclass(frozen=True)
class Overload:
    """Rates are in rows; `bound_seconds` is the wait that the queue's bound allows at the peak rate."""

    peak_rows_per_second: float
    offered_rows_per_second: float
    good_rows_per_second: float
    refused: float
    p50_seconds: float
    p99_seconds: float
    bound_seconds: float
    health_seconds: float

    def __str__(self) -> str:
        return (
            f"Overload, {REQUEST_ROWS} rows a request: peak {self.peak_rows_per_second:.0f} rows/s; at "
            f"{self.offered_rows_per_second:.0f} offered, {self.good_rows_per_second:.0f} were scored, "
            f"{self.good_rows_per_second / self.peak_rows_per_second:.2f} of the peak (wanted 0.90), and "
            f"{self.refused:.0%} of the requests got 429. The accepted waited {self.p50_seconds:.3f} s at the median, "
            f"{self.p99_seconds:.3f} s at p99; the queue of {QUEUE_ROWS} rows allows {self.bound_seconds:.3f} s. "
            f"/readyz answered in {self.health_seconds * 1e3:.0f} ms at worst."
        )


def measure(bundle: Path, rows: Rows, media_type: str, seconds: float, *, precision: Precision = "float32") -> Overload:
    """Measure the peak with a closed loop of 16 connections, then run an open loop at three times that rate."""
    body = np.ascontiguousarray(rows[:REQUEST_ROWS]).tobytes()
    with fresh_service(bundle, max_queue_rows=QUEUE_ROWS, precision=precision) as service:
        url = f"http://127.0.0.1:{service.port}/score"
        peak = closed_loop(url, body, media_type, 16, seconds).requests_per_second
        done = threading.Event()
        health: list[float] = []

        def look() -> None:
            while not done.wait(0.25):
                begin = time.perf_counter()
                assert service.client.get("/readyz").status_code == 200
                health.append(time.perf_counter() - begin)

        looker = threading.Thread(target=look)
        looker.start()
        answers = open_loop(service.port, body, media_type, TIMES * peak, seconds)
        done.set()
        looker.join()
    return Overload(
        peak_rows_per_second=peak * REQUEST_ROWS,
        offered_rows_per_second=answers.sent / seconds * REQUEST_ROWS,
        good_rows_per_second=answers.good_per_second * REQUEST_ROWS,
        refused=answers.refused / answers.sent,
        p50_seconds=answers.percentile_seconds(50),
        p99_seconds=answers.percentile_seconds(99),
        bound_seconds=QUEUE_ROWS / (peak * REQUEST_ROWS),
        health_seconds=max(health),
    )
