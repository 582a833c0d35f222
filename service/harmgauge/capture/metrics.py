"""Prometheus metrics of the capture: 0 everywhere while it is off."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

DROPPED = ("queue_full", "unwritable", "failed", "shutdown")
"""Why a flagged input was not captured: the writer is too slow; nothing can be written; it could not be converted; the
process ended first.
"""


class CaptureMetrics:
    """Counts rows; on any thread."""

    def __init__(self, registry: CollectorRegistry, model: str) -> None:
        self._model = model
        self.captured = Counter(
            "harmgauge_captured", "Flagged inputs written to a file.", ["model"], registry=registry
        ).labels(model)
        self._dropped = Counter(
            "harmgauge_capture_dropped",
            "Flagged inputs selected for capture but not written.",
            ["model", "reason"],
            registry=registry,
        )
        for reason in DROPPED:
            # created at 0: the first increase of a missing counter would not be seen
            self._dropped.labels(model, reason)
        self.failures = Counter(
            "harmgauge_capture_write_failures", "Files that could not be written.", ["model"], registry=registry
        ).labels(model)
        self.queue_bytes = Gauge(
            "harmgauge_capture_queue_bytes",
            "Memory used by flagged inputs on their way to a file.",
            ["model"],
            registry=registry,
        ).labels(model)

    def dropped(self, reason: str, rows: int) -> None:
        self._dropped.labels(self._model, reason).inc(rows)
