"""P(wrong) for Prometheus: the accuracy of the window as gauges, and sums over all rows as counters.

The counters give the accuracy of a fleet over any period, and its interval: expected errors over rows with a P, and
sqrt of the variance over rows. Rows of a bundle without P are in none of them, and so never count as right.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.harm_evidence import STAKES

LEAST_CLASS_ROWS = 20
"""Minimum number of rows of a class in the window for a gauge of its accuracy: with fewer it would be noise."""


class AccuracyCollector(Collector):
    """Gauges of the newest estimate, `found`; unknown values are absent."""

    def __init__(self, model: str, prefix: str = "harmgauge") -> None:
        self._model = model
        self._prefix = prefix
        self.found: Accuracy | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = self.found
        if found is None:
            return
        accuracy = self._family(
            "accuracy",
            "Accuracy over the window, estimated without labels, and its 90 % interval. Too high for rows far from "
            "every disturbance that the bundle was calibrated on, and for attacks that the bundle does not detect.",
            "bound",
        )
        if found.estimate is not None and found.lower is not None and found.upper is not None:
            for bound, value in (("estimate", found.estimate), ("lower", found.lower), ("upper", found.upper)):
                accuracy.add_metric([self._model, bound], value)
        base = self._family("accuracy_base", "Accuracy on clean rows when the bundle was calibrated.")
        base.add_metric([self._model], found.base)
        kappa = self._family("accuracy_kappa", "Share of a drop in accuracy that the estimate misses.")
        kappa.add_metric([self._model], found.kappa)
        by_class = self._family("class_accuracy", "Estimated accuracy over the window, by predicted class.", "class")
        for own in found.classes:
            if own.rows >= LEAST_CLASS_ROWS:
                by_class.add_metric([self._model, own.name], own.accuracy)
        yield from (accuracy, base, kappa, by_class)

    def _family(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{self._prefix}_{name}", text, labels=["model", *labels])


class ErrorCounters:
    """Sums over all bundles that the process serves in turn; absent until a bundle with P is loaded."""

    def __init__(self, model: str, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"harmgauge_{name}", text, ["model", *labels], registry=registry)

        self._model = model
        self._errors = counter("expected_errors", "Sum of P(wrong) over the inputs with one.")
        self._variance = counter("expected_errors_variance", "Sum of P(wrong) (1 - P(wrong)) over the same inputs.")
        self._rows = counter("expected_errors_rows", "Inputs with a P(wrong).")
        self._gain = counter("harm_log_gain", "Sum of the positive log factors of harm's bets.", "stake")
        self._loss = counter("harm_log_loss", "Sum of the negative log factors of harm's bets, negated.", "stake")
        self._stakes = [f"{stake:g}" for stake in STAKES]

    def begin(self) -> None:
        """Create the counters at zero: the first increase of a missing counter would not be seen."""
        for counter in (self._errors, self._variance, self._rows):
            counter.labels(self._model)
        self.bet(np.zeros((2, len(STAKES))))

    def scored(self, probabilities: npt.NDArray[np.floating]) -> None:
        """Count P (n,) for n inputs."""
        exact = probabilities.astype(np.float64)
        total = float(exact.sum())
        self._errors.labels(self._model).inc(total)
        self._variance.labels(self._model).inc(max(0.0, total - float(exact @ exact)))
        self._rows.labels(self._model).inc(len(exact))

    def bet(self, logs: npt.NDArray[np.float64]) -> None:
        """Count the bets' log gains and log losses, (2, stakes)."""
        for counter, sums in zip((self._gain, self._loss), logs.tolist(), strict=True):
            for stake, value in zip(self._stakes, sums, strict=True):
                counter.labels(self._model, stake).inc(value)
