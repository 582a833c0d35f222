"""Metrics of requests and batches for Prometheus, counted many at once.

One observation takes prometheus_client 2 us, in six calls and two locks, and a request has four of them. Here a request
and a batch are each appended to a list, which is counted when it is long, or when a scrape needs it.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_WAITING = 256
"""Events that wait to be counted: counting these takes 0.1 to 0.2 ms."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

EventT = TypeVar("EventT")
KeyT = TypeVar("KeyT", bound=Hashable)


class Counted(NamedTuple):
    """`counts` (b + 1,), the observations in each bucket, and their sum."""

    counts: npt.NDArray[np.int64]
    total: float

    @classmethod
    def of(cls, bounds: Sequence[float], values: Sequence[float]) -> Counted:
        """Values in buckets with the upper `bounds` (b,), ascending: a bucket holds value <= its bound."""
        buckets = np.searchsorted(bounds, values, side="left")
        return cls(np.bincount(buckets, minlength=len(bounds) + 1), sum(values))

    def plus(self, other: Counted) -> Counted:
        return Counted(self.counts + other.counts, self.total + other.total)


class _Tally(Collector, Generic[EventT, KeyT]):
    """Counts events: `values` gives the observations of some, by histogram, and `bounds` each histogram's bounds.

    Add events on one thread; `counted` may be called on any.
    """

    def __init__(self) -> None:
        self._waiting: list[EventT] = []
        self._counted: dict[KeyT, Counted] = {}
        self._lock = threading.Lock()

    def counted(self) -> Mapping[KeyT, Counted]:
        """Everything observed so far."""
        with self._lock:
            events = self._waiting[:]
            del self._waiting[: len(events)]  # not those that were added meanwhile
            for key, values in self._values(events).items():
                new = Counted.of(self._bounds(key), values)
                old = self._counted.get(key)
                self._counted[key] = new if old is None else old.plus(new)
            return self._counted.copy()

    @abstractmethod
    def _values(self, events: Iterable[EventT]) -> Mapping[KeyT, Sequence[float]]: ...

    @abstractmethod
    def _bounds(self, key: KeyT) -> Sequence[float]: ...


Request = tuple[str, int | str, float]
"""A request's route, status and seconds."""


class RequestTally(_Tally[Request, tuple[str, int | str]]):
    """Counts requests by route and status, and the time that they took by route."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model

    def answered(self, route: str, status: int | str, seconds: float) -> None:
        self._waiting.append((route, status, seconds))
        if len(self._waiting) >= MOST_WAITING:
            self.counted()

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("harmgauge_requests", "Requests answered.", labels=["model", "route", "status"])
        by_route: dict[str, Counted] = {}
        for (route, status), found in self.counted().items():
            requests.add_metric([self._model, route, str(status)], int(found.counts.sum()))
            by_route[route] = found.plus(by_route[route]) if route in by_route else found
        yield requests
        family = HistogramMetricFamily(
            "harmgauge_request_seconds", "Time to answer a request.", labels=["model", "route"]
        )
        for route, found in by_route.items():
            _add(family, [self._model, route], SECONDS, found)
        yield family

    def _values(self, events: Iterable[Request]) -> Mapping[tuple[str, int | str], Sequence[float]]:
        found: dict[tuple[str, int | str], list[float]] = defaultdict(list)
        for route, status, seconds in events:
            found[route, status].append(seconds)
        return found

    def _bounds(self, key: tuple[str, int | str]) -> Sequence[float]:
        return SECONDS


Run = tuple[int, list[float], float]
"""A batch's rows, the seconds that each of its requests waited for it, and the seconds that it ran."""

_HISTOGRAMS = {
    "harmgauge_batch_rows": ("Rows per run of the graph.", ROWS),
    "harmgauge_queue_seconds": ("Time that a request waited until its first row ran.", SECONDS),
    "harmgauge_inference_seconds": ("Duration of a run of the graph.", SECONDS),
}


class BatchTally(_Tally[Run, str]):
    """Counts batches."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self._model = model
        self._counted = {name: Counted.of(bounds, []) for name, (_, bounds) in _HISTOGRAMS.items()}

    def batch_finished(self, rows: int, queue_seconds: list[float], inference_seconds: float) -> None:
        self._waiting.append((rows, queue_seconds, inference_seconds))
        if len(self._waiting) >= MOST_WAITING:
            self.counted()

    def collect(self) -> Iterator[Metric]:
        for name, found in self.counted().items():
            text, bounds = _HISTOGRAMS[name]
            family = HistogramMetricFamily(name, text, labels=["model"])
            _add(family, [self._model], bounds, found)
            yield family

    def _values(self, events: Iterable[Run]) -> Mapping[str, Sequence[float]]:
        rows, waits, seconds = zip(*events, strict=True) if events else ((), (), ())
        return dict(zip(_HISTOGRAMS, (rows, [one for each in waits for one in each], seconds), strict=True))

    def _bounds(self, key: str) -> Sequence[float]:
        return _HISTOGRAMS[key][1]


def _add(family: HistogramMetricFamily, labels: Sequence[str], bounds: Sequence[float], found: Counted) -> None:
    names = [*(repr(float(bound)) for bound in bounds), "+Inf"]
    family.add_metric(labels, list(zip(names, np.cumsum(found.counts).tolist(), strict=True)), found.total)
