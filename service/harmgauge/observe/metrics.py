"""Prometheus metrics of the process: counters that continue when another bundle takes over.

All names begin with `harmgauge_`, and all metrics have the label `model`. Metrics of one bundle are in
`bundle_metrics.py`. They are attributes of one object with its own registry; modules hold no metrics.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from harmgauge.bundle.manifest import Manifest
from harmgauge.errors import RequestError
from harmgauge.observe.accuracy_metrics import ErrorCounters
from harmgauge.observe.tallies import SECONDS, BatchTally, RequestTally
from harmgauge.observe.totals import Totals
from harmgauge.observe.value_metrics import ValueCounters
from harmgauge.readiness import Readiness

MAX_CLASSES = 100
"""Predictions of a classifier with more classes are not counted by class, because every class is a time series of every
replica.
"""

_GOOD = ("200", "OK")
"""The status of a request that got its scores, over HTTP and over gRPC."""


class Metrics:
    """Metrics of every bundle that the process serves in turn: all of them have `manifest`'s name and classes."""

    def __init__(self, manifest: Manifest, readiness: Readiness) -> None:
        registry = self.registry = CollectorRegistry()
        model = manifest.name

        instances = Counter("harmgauge_instances", "Inputs scored, by flag.", ["model", "flag"], registry=registry)
        self._instances = instances
        self._clean = instances.labels(model, "clean")
        self._adversarial = instances.labels(model, "adversarial")
        predictions = Counter(
            "harmgauge_predictions",
            "Inputs scored, by the classifier's most likely class.",
            ["model", "class"],
            registry=registry,
        )
        names = manifest.class_names
        self._predictions = [predictions.labels(model, name) for name in names] if len(names) <= MAX_CLASSES else []
        Gauge(
            "harmgauge_ready",
            "1 while the service accepts requests, as reported by /readyz.",
            ["model"],
            registry=registry,
        ).labels(model).set_function(lambda: readiness.unready is None)

        Gauge(
            "harmgauge_alive",
            "1 unless the service needs a restart, as reported by /livez.",
            ["model"],
            registry=registry,
        ).labels(model).set_function(lambda: readiness.failure is None)

        self._model = model
        self._requests = RequestTally(model)
        registry.register(self._requests)
        self.answered = self._requests.answered
        """Counts a request by its route, status and seconds; on the event loop."""
        self._rejected = Counter(
            "harmgauge_rejected", "Requests answered with an error.", ["model", "reason"], registry=registry
        )
        for code in [RequestError.code, *(error.code for error in RequestError.__subclasses__())]:
            # created at 0: the first increase of a missing counter would not be seen
            self._rejected.labels(model, code)

        self._resets = Counter(
            "harmgauge_drift_resets", "Acknowledgements of drift alarms.", ["model"], registry=registry
        ).labels(model)
        self.errors = ErrorCounters(model, registry)
        """Sums of the bundles' P(wrong)."""
        self.values = ValueCounters(manifest, registry)

        batches = BatchTally(model)
        registry.register(batches)
        self.batch_finished = batches.batch_finished
        """Counts a run of the graph; on the event loop."""

    def scored(self, is_adversarial: npt.NDArray[np.bool_], predictions: npt.NDArray[np.int64]) -> None:
        """Count the flags (n,) and predictions (n,) of n inputs."""
        flagged = int(np.count_nonzero(is_adversarial))
        self._adversarial.inc(flagged)
        self._clean.inc(len(is_adversarial) - flagged)
        if self._predictions:
            counts = np.bincount(predictions, minlength=len(self._predictions))
            for index in np.flatnonzero(counts):
                self._predictions[index].inc(int(counts[index]))

    def rejected(self, reason: str) -> None:
        self._rejected.labels(self._model, reason).inc()

    def drift_reset(self) -> None:
        """Count an acknowledgement of drift."""
        self._resets.inc()

    def totals(self, routes: AbstractSet[str], queue_rows: float) -> Totals:
        """Totals since the start; requests are those over one of `routes`."""
        answered = {key: found for key, found in self._requests.counted().items() if key[0] in routes}
        failed = [found for (_, status), found in answered.items() if str(status) not in _GOOD]
        return Totals(
            rows=sum(sample.value for sample in _totals(self._instances)),
            requests=sum(found.counts.sum() for found in answered.values()),
            failed=sum(found.counts.sum() for found in failed),
            queue_rows=queue_rows,
            seconds_bounds=SECONDS,
            seconds_counts=np.sum([np.zeros(len(SECONDS) + 1), *(found.counts for found in answered.values())], axis=0),
        )


def _totals(counter: Collector) -> list[Sample]:
    """The totals of all the counter's children."""
    return [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]
