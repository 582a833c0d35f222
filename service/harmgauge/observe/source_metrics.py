"""Metrics of the sources: how many there are, and those that drift, by name."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from harmgauge.drift.sources.view import View

MOST_SERIES = 200
"""Every drifting source is a time series of every replica; beyond this number, those with the most evidence are."""


class SourceCollector(Collector):
    """Gauges of `view`; none while it is None."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.view: View | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        view = self.view
        if view is None:
            return
        yield self._family("sources", "Sources that are monitored separately.", len(view))
        yield self._family("sources_drifting", "Those that are drifting, until they are acknowledged.", view.drifting)
        named = GaugeMetricFamily(
            "harmgauge_source_drifting",
            f"1 for each drifting source; at most {MOST_SERIES}, those with the most evidence.",
            labels=["model", "source"],
        )
        for state in view.states(view.select("evidence", "drifting")[:MOST_SERIES]):
            named.add_metric([self._model, state.source], 1)
        yield named

    def _family(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"harmgauge_{name}", text, labels=["model"])
        family.add_metric([self._model], value)
        return family
