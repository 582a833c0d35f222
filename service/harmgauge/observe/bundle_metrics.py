"""Prometheus metrics of one bundle, which exist only while it is loaded.

The histograms of scores have the label `bundle`, because their bounds depend on the bundle. Each bundle has its own
registry, so that its metrics disappear once another is in service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from harmgauge.bundle.load import Bundle
from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.columns.view import View as ColumnsView
from harmgauge.drift.sources.view import View as SourcesView
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.observe.accuracy_metrics import AccuracyCollector
from harmgauge.observe.collectors import DriftCollector, ScoreHistogram
from harmgauge.observe.column_metrics import ColumnCollector
from harmgauge.observe.metrics import Metrics
from harmgauge.observe.source_metrics import SourceCollector
from harmgauge.observe.totals import Totals

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class BundleMetrics:
    """The metrics that one bundle adds to those of the `process`.

    `gauges` are the drift detectors' own metrics, by name, with their help texts; `queue_rows` returns the number of
    waiting rows.
    """

    def __init__(
        self, bundle: Bundle, process: Metrics, gauges: Mapping[str, str], queue_rows: Callable[[], int]
    ) -> None:
        registry = self._registry = CollectorRegistry()
        self.process = process
        model, reference = bundle.manifest.name, bundle.reference.scores
        self._scores = ScoreHistogram(model, bundle.key, reference)
        registry.register(self._scores)
        constant = ScoreHistogram(
            model, bundle.key, reference, "harmgauge_reference_score", "Scores of the reference; constant."
        )
        constant.observe(reference)
        registry.register(constant)
        Gauge(
            "harmgauge_score_threshold", "Score above which an input is flagged.", ["model"], registry=registry
        ).labels(model).set(float(bundle.threshold))
        Gauge(
            "harmgauge_reference_flagged_ratio",
            "Share of the reference's scores above the threshold.",
            ["model"],
            registry=registry,
        ).labels(model).set(bundle.reference_flagged_share)
        self._drift = DriftCollector(model, gauges)
        registry.register(self._drift)
        Gauge(
            "harmgauge_bundle_info",
            "The bundle in service; always 1.",
            ["model", "version", "sha256", "detector"],
            registry=registry,
        ).labels(model, bundle.manifest.version, bundle.sha256, bundle.manifest.detector).set(1)
        self._accuracy = AccuracyCollector(model)
        registry.register(self._accuracy)
        self._sources = SourceCollector(model)
        registry.register(self._sources)
        if bundle.error_probability is not None:
            process.errors.begin()
        self._columns = ColumnCollector(model)
        registry.register(self._columns)
        self._queue_rows = queue_rows
        Gauge("harmgauge_queue_rows", "Rows accepted but not yet scored.", ["model"], registry=registry).labels(
            model
        ).set_function(queue_rows)

    def scored(self, blocks: Blocks, is_adversarial: npt.NDArray[np.bool_], predictions: npt.NDArray[np.int64]) -> None:
        self._scores.observe(blocks.scores)
        self.process.scored(is_adversarial, predictions)
        if blocks.error_probability is not None:
            self.process.errors.scored(blocks.error_probability)

    def totals(self, routes: AbstractSet[str]) -> Totals:
        """Totals since the process started; requests are those over one of `routes`."""
        return self.process.totals(routes, self._queue_rows())

    def exposition(
        self,
        drift: dict[str, DriftState],
        accuracy: Accuracy | None = None,
        sources: SourcesView | None = None,
        columns: ColumnsView | None = None,
    ) -> bytes:
        """The text for a scrape, with the given drift states, accuracy, sources and columns."""
        self._drift.states = drift
        self._accuracy.found = accuracy
        self._sources.view = sources
        self._columns.view = columns
        return generate_latest(self.process.registry) + generate_latest(self._registry)
