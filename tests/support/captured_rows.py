"""Flagged rows in the service's form, generated for tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry

from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.capture.flagged import Flagged, Source, take
from harmgauge.capture.metrics import CaptureMetrics
from harmgauge.inference.caller import Origin
from harmgauge.inference.scorer import Scored

SPEC = InputSpec(dtype="float32", shape=(4,))
SOURCE = Source("toy", "1", "0123456789abcdef-float32", "0123456789abcdef" * 4, 0.5, ("cat", "dog"))


def scored(flags: list[bool]) -> Scored:
    """Scored rows, one for each of `flags`; each score is the row's position."""
    count = len(flags)
    return Scored(
        scores=np.arange(count, dtype=np.float32),
        is_adversarial=np.array(flags),
        predictions=np.arange(count) % 2,
        probabilities=np.zeros((count, 2), np.float32),
    )


def rows_of(count: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).normal(size=(count, *SPEC.shape)).astype(np.float32)


def kept_of(rows: Rows, positions: npt.NDArray[np.intp], request_id: str = "r", source: Source = SOURCE) -> Flagged:
    return take(source, Origin(request_id, "/score", ""), rows, scored([True] * len(rows)), positions)


class Counted:
    """The capture's metrics and their values."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.metrics = CaptureMetrics(self._registry, "toy")

    def __call__(self, name: str, **labels: str) -> float:
        value = self._registry.get_sample_value(f"harmgauge_{name}", {"model": "toy", **labels})
        assert value is not None, name
        return value
