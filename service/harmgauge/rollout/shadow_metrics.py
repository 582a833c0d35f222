"""Prometheus metrics of a shadow, under separate names, so that none enters a sum or an alert of the served bundle.

They do not include its scores: a key for metrics may not be allowed to read those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from harmgauge.bundle.load import Bundle
from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.state import DriftState
from harmgauge.observe.accuracy_metrics import AccuracyCollector
from harmgauge.observe.collectors import DriftCollector
from harmgauge.rollout.comparison import Comparison

PREFIX = "harmgauge_shadow"
FLAGS = ("clean", "adversarial")


class ShadowMetrics:
    """Metrics of one bundle as the shadow of another, since the start of `comparison`; `gauges` as in
    `BundleMetrics`.
    """

    def __init__(self, bundle: Bundle, comparison: Comparison, gauges: Mapping[str, str]) -> None:
        self._registry = CollectorRegistry()
        manifest = bundle.manifest
        self._registry.register(_Counts({"model": manifest.name, "bundle": bundle.key}, comparison))
        self._drift = DriftCollector(manifest.name, gauges, PREFIX)
        self._registry.register(self._drift)
        self._accuracy = AccuracyCollector(manifest.name, PREFIX)
        self._registry.register(self._accuracy)
        Gauge(
            f"{PREFIX}_bundle_info",
            "The shadow; always 1.",
            ["model", "bundle", "version", "sha256", "detector"],
            registry=self._registry,
        ).labels(manifest.name, bundle.key, manifest.version, bundle.sha256, manifest.detector).set(1)

    def exposition(self, drift: dict[str, DriftState], accuracy: Accuracy | None = None) -> bytes:
        """The text for a scrape, with the given drift states and accuracy."""
        self._drift.states = drift
        self._accuracy.found = accuracy
        return generate_latest(self._registry)


class _Counts(Collector):
    def __init__(self, labels: dict[str, str], comparison: Comparison) -> None:
        self._labels = labels
        self._comparison = comparison

    def collect(self) -> Iterator[CounterMetricFamily]:
        own = self._comparison
        scored = self._family(
            "instances", "Inputs scored by the shadow, by its flag and the served flag.", "flag", "served_flag"
        )
        for served, row in enumerate(own.rows.tolist()):
            for flag, count in enumerate(row):
                scored.add_metric([*self._labels.values(), FLAGS[flag], FLAGS[served]], count)
        other = self._family("other_class", "Inputs for which the shadow predicts a different class.")
        other.add_metric([*self._labels.values()], own.other_class_rows)
        shed = self._family("shed", "Inputs skipped to keep the cores free for requests.")
        shed.add_metric([*self._labels.values()], own.shed_rows)
        failed = self._family("errors", "Inputs that the shadow could not score.", "reason")
        for reason, count in own.failed_rows.items():
            failed.add_metric([*self._labels.values(), reason], count)
        yield from (scored, other, shed, failed)

    def _family(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(f"{PREFIX}_{name}", text, labels=[*self._labels, *labels])
