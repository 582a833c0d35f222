"""Histograms for Prometheus that count many observations at once.

An observation takes prometheus_client 2 us, in six calls and two locks, and a request has four of them. Here it is
appended to a list, which is counted when it is long, or when a scrape needs it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

MOST_WAITING = 256
"""Observations that wait to be counted: counting these takes 15 us."""


class Counted(NamedTuple):
    """`counts` (b + 1,), the observations in each bucket, and their sum."""

    counts: npt.NDArray[np.int64]
    total: float


class Tally:
    """Counts observations in buckets with the upper `bounds` (b,), ascending.

    Observe on one thread only; `counted` may be called on any.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = np.array(bounds, np.float64)
        self._waiting: list[float] = []
        self._counted = Counted(np.zeros(len(bounds) + 1, np.int64), 0.0)
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        self._waiting.append(value)
        if len(self._waiting) >= MOST_WAITING:
            self.counted()

    def counted(self) -> Counted:
        """Everything observed so far."""
        with self._lock:
            values = self._waiting[:]
            del self._waiting[: len(values)]  # not those that were added meanwhile
            if values:
                buckets = np.searchsorted(self._bounds, values, side="left")  # a bucket holds value <= its bound
                counts, total = self._counted
                self._counted = Counted(counts + np.bincount(buckets, minlength=len(counts)), total + sum(values))
            return self._counted


class TallyCollector(Collector):
    """One histogram without further labels: `observe` counts for it."""

    def __init__(self, name: str, text: str, model: str, bounds: Sequence[float]) -> None:
        self._name, self._text, self._model, self._bounds = name, text, model, bounds
        self._tally = Tally(bounds)
        self.observe = self._tally.observe

    def collect(self) -> Iterator[HistogramMetricFamily]:
        yield _histogram(self._name, self._text, self._bounds, {(self._model,): self._tally.counted()}, ["model"])


class RequestCollector(Collector):
    """Counts requests by route and status, and the time that they took by route."""

    def __init__(self, model: str, bounds: Sequence[float]) -> None:
        self._model, self._bounds = model, bounds
        self._tallies: dict[tuple[str, int | str], Tally] = {}

    def answered(self, route: str, status: int | str, seconds: float) -> None:
        tally = self._tallies.get((route, status))
        if tally is None:
            tally = self._tallies[route, status] = Tally(self._bounds)
        tally.observe(seconds)

    def by_status(self) -> dict[tuple[str, int | str], Counted]:
        """Counts by route and status; on any thread."""
        return {key: tally.counted() for key, tally in list(self._tallies.items())}

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        found = self.by_status()
        requests = CounterMetricFamily("harmgauge_requests", "Requests answered.", labels=["model", "route", "status"])
        by_route: dict[tuple[str, str], list[Counted]] = defaultdict(list)
        for (route, status), counted in found.items():
            requests.add_metric([self._model, route, str(status)], int(counted.counts.sum()))
            by_route[self._model, route].append(counted)
        yield requests
        yield _histogram(
            "harmgauge_request_seconds",
            "Time to answer a request.",
            self._bounds,
            {
                labels: Counted(np.sum([one.counts for one in all_of], axis=0), sum(one.total for one in all_of))
                for labels, all_of in by_route.items()
            },
            ["model", "route"],
        )


def _histogram(
    name: str, text: str, bounds: Sequence[float], found: dict[tuple[str, ...], Counted], labels: list[str]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    names = [*(repr(float(bound)) for bound in bounds), "+Inf"]
    for values, (counts, total) in found.items():
        family.add_metric(list(values), list(zip(names, np.cumsum(counts).tolist(), strict=True)), total)
    return family
