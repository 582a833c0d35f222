"""Metrics of a bundle's columns: which of them drift, and plain counters of unusual values."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harmgauge.drift.columns.view import View

_LABELS = ("model", "column")


class ColumnCollector(Collector):
    """Metrics of `view`, which has a limited number of columns; none while it is None."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.view: View | None = None

    def collect(self) -> Iterator[Metric]:
        view = self.view
        if view is None:
            return
        drifting = GaugeMetricFamily(
            "harmgauge_column_drifting", "1 if the column is drifting, until it is acknowledged.", labels=_LABELS
        )
        for at in view.monitored:
            drifting.add_metric([self._model, view.names[at]], float(view.marks.is_named[at]))
        yield drifting
        missing = CounterMetricFamily("harmgauge_values_missing", "Missing values in answered rows.", labels=_LABELS)
        for name, count in zip(view.names, view.missing.tolist(), strict=False):
            missing.add_metric([self._model, name], count)
        yield missing
        outside = CounterMetricFamily(
            "harmgauge_values_out_of_range",
            "Values in answered rows below the least or above the greatest value of the reference.",
            labels=_LABELS,
        )
        for at, count in zip(view.sketches.numbers.tolist(), view.out_of_range.tolist(), strict=True):
            outside.add_metric([self._model, view.names[at]], count)
        yield outside
