"""Measures one kind of request at one number of connections, between two runs of the baseline."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harmgauge.bundle.rows import Rows
from harmgauge.inference.providers import usable_cores
from tests.bench.accounting import RequestCost, Spent, request_cost
from tests.bench.bare import Bare, Baseline
from tests.bench.line import Line, medians
from tests.bench.load import closed_loop
from tests.bench.proc import CpuTime, cpu_time
from tests.bench.requests import Case
from tests.bench.service import scored_rows, settle
from tests.bench.wakeups import WakeupCounter
from tests.support.process import RunningService

LAST_ROWS_SECONDS = 0.1
"""wrk hangs up at its end; rows that run then still end, and count as rows but not as requests."""


@dataclass(frozen=True)
class Point(Line):
    """A line with what the request costs beside its inference."""

    cost: RequestCost


def median(points: Sequence[Point]) -> Point:
    """The median of each figure of the same request at the same number of connections."""
    costs = [vars(point.cost) for point in points]
    cost = {name: statistics.median(found[name] for found in costs) for name in costs[0]}
    return Point(points[0].request, points[0].connections, **medians(points), cost=RequestCost(**cost))


class Alternation:
    """The service and the baseline in turns, so that other work on the machine affects both alike."""

    def __init__(self, service: RunningService, baseline: Baseline, rows: Rows, seconds: float) -> None:
        """`rows` (n, *shape): those of the requests, in their order. Each load takes `seconds`."""
        self._service, self._baseline, self._rows, self._seconds = service, baseline, rows, seconds

    def measure(self, case: Case, connections: int) -> Point:
        """Raises RuntimeError if a request fails."""
        service = self._service
        settle(service)
        before = self._bare(case.rows, connections)
        rows = scored_rows(service)
        cpu = cpu_time(service.process.pid)
        with WakeupCounter(service.process.pid) as wakeups:
            url = f"http://127.0.0.1:{service.port}{case.path}"
            load = closed_loop(url, case.body, case.media_type, connections, self._seconds)
            time.sleep(LAST_ROWS_SECONDS)
        spent = Spent(
            requests=load.requests,
            service=cpu_time(service.process.pid) - cpu,
            rows=scored_rows(service) - rows,
            load_generator=load.cpu,
            voluntary_switches=wakeups.count,
        )
        after = self._bare(case.rows, connections)
        rate = load.requests_per_second * case.rows
        peak = (before[0].rows_per_second + after[0].rows_per_second) / 2
        cost = request_cost(spent, (before[1] + after[1]) * 0.5)
        return Point(case.request, connections, rate, rate / peak, load.p50_seconds, load.p99_seconds, cost)

    def _bare(self, count: int, connections: int) -> tuple[Bare, CpuTime]:
        """The bare run on all cores, and the CPU time of a row with as many rows at once as the service may run."""
        on_all = self._baseline.run(self._rows[:count], self._seconds / 4)
        if connections >= usable_cores():
            return on_all, on_all.cpu_per_row
        alone = self._baseline.run(self._rows[:count], self._seconds / 4, threads=connections)
        return on_all, alone.cpu_per_row
