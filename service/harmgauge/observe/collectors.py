"""Two metric types that prometheus-client lacks: a histogram fed from arrays, and gauges that may be absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from harmgauge.drift.state import DriftState

SCORE_BUCKETS = 64


def bucket_bounds(reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The quantiles that divide `reference` (n,) into SCORE_BUCKETS equal shares, ascending; tied ones appear once."""
    return np.unique(np.quantile(reference, np.arange(1, SCORE_BUCKETS) / SCORE_BUCKETS, method="inverted_cdf"))


class ScoreHistogram(Collector):
    """A histogram of scores whose bounds are quantiles of the reference, so that each bucket has an equal share of it.

    Hand-picked bounds lose most of a KS test's power; these keep it, so that Prometheus can compute the statistic of a
    whole fleet. Tied quantiles share a bucket. The label `bundle` keeps different bounds apart: adding the buckets of
    two bundles, during a rollout, would cause a false alarm.
    """

    def __init__(
        self,
        model: str,
        bundle: str,
        reference: npt.NDArray[np.float64],
        name: str = "harmgauge_score",
        text: str = "Harmfulness scores.",
    ) -> None:
        self._labels = {"model": model, "bundle": bundle}
        self._name = name
        self._text = text
        self._bounds = bucket_bounds(reference)
        self._seen = np.zeros(len(self._bounds) + 1, np.int64), 0.0

    def observe(self, scores: npt.NDArray[np.floating]) -> None:
        """Add scores (n,)."""
        buckets = np.searchsorted(self._bounds, scores, side="left")  # a bucket holds score <= its bound
        counts, total = self._seen
        more = np.bincount(buckets, minlength=len(counts))
        # one assignment, because a thread may collect
        self._seen = counts + more, total + float(scores.sum(dtype=np.float64))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=list(self._labels))
        counts, total = self._seen
        cumulative = np.cumsum(counts).tolist()
        bounds = [*(repr(bound) for bound in self._bounds.tolist()), "+Inf"]
        family.add_metric(list(self._labels.values()), list(zip(bounds, cumulative, strict=True)), total)
        yield family


class DriftCollector(Collector):
    """The drift gauges. Unknown values are absent: a made-up 0 or 1 would raise an alarm, or hide one.

    `gauges` are the detectors' own metrics, by name, with their help texts.
    """

    def __init__(self, model: str, gauges: Mapping[str, str], prefix: str = "harmgauge") -> None:
        self._model = model
        self._gauges = gauges
        self._prefix = prefix
        self.states: dict[str, DriftState] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        p_value = self._family("drift_p_value", "p-value of the window against the reference.")
        statistic = self._family("drift_statistic", "Test statistic of the window against the reference.")
        threshold = self._family("drift_statistic_threshold", "Statistic at which drift_detected becomes 1.")
        p_threshold = self._family("drift_p_value_threshold", "p-value at or below which drift_detected becomes 1.")
        detected = self._family("drift_detected", "The calibrated alarm: 1 while it is active.")
        rows = self._family(
            "drift_window_rows", "Scores in the window, or since the detector started if it has no window."
        )
        own = {name: self._family(name, text) for name, text in self._gauges.items()}
        for name, state in self.states.items():
            labels = [self._model, name]
            if state.p_value is not None:
                p_value.add_metric(labels, state.p_value)
            if state.statistic is not None:
                statistic.add_metric(labels, state.statistic)
            if state.statistic is not None and state.threshold is not None:
                threshold.add_metric(labels, state.threshold)
            if state.p_value_threshold is not None:
                p_threshold.add_metric(labels, state.p_value_threshold)
            detected.add_metric(labels, state.state == "drifting")
            rows.add_metric(labels, state.rows)
            for gauge, value in state.gauges.items():
                own[gauge].add_metric(labels, value)
        yield from (*own.values(), p_value, p_threshold, statistic, threshold, detected, rows)

    def _family(self, name: str, text: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=["model", "detector"])
