"""Accuracy and harm's bets as Prometheus gets them: no unknown values, and sums that can be added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.load import Bundle
from harmgauge.drift.accuracy import Accuracy, ClassAccuracy
from harmgauge.drift.state import Blocks
from harmgauge.observe.accuracy_metrics import LEAST_CLASS_ROWS
from harmgauge.observe.bundle_metrics import BundleMetrics
from harmgauge.observe.metrics import Metrics
from harmgauge.readiness import Readiness
from harmgauge.rollout.comparison import Comparison
from harmgauge.rollout.shadow_metrics import ShadowMetrics

FOUND = ErrorProbability(
    slope=-1, intercept=0, base=0.07, base_upper=0.08, kappa=0.05, rows=5000, copies=4, target="wrong"
)
FEW = Accuracy(0.9, None, None, 0.93, 0.05, 40, 1000, (ClassAccuracy("cat", 0.9, 40),))
ENOUGH = Accuracy(
    0.9, 0.85, 0.94, 0.93, 0.05, 100, 1000,
    (ClassAccuracy("cat", 0.8, 100 - LEAST_CLASS_ROWS), ClassAccuracy("dog", 0.7, LEAST_CLASS_ROWS),
     ClassAccuracy("frog", 0.1, LEAST_CLASS_ROWS - 1)),
)  # fmt: skip


def with_p(bundle: Bundle) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"error_probability": FOUND}))


def metrics_of(bundle: Bundle, process: Metrics | None = None) -> BundleMetrics:
    return BundleMetrics(bundle, process or Metrics(bundle.manifest, Readiness()), {}, lambda: 0)


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """The samples by name and label values, except the model's."""
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "model")): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if any(word in sample.name for word in ("accuracy", "harm_log", "expected"))
        and not sample.name.endswith("_created")
    }


def score(metrics: BundleMetrics, p: list[float] | None) -> None:
    rows = len(p or [0])
    found = None if p is None else np.array(p, np.float32)
    blocks = replace(Blocks.of(np.zeros(rows), 1), error_probability=found)
    metrics.scored(blocks, np.zeros(rows, bool), np.zeros(rows, np.int64))


def test_a_bundle_without_p_shows_nothing_of_it(image_bundle: Bundle) -> None:
    metrics = metrics_of(image_bundle)
    score(metrics, None)
    assert samples(metrics.exposition({}, None)) == {}


def test_gauges_are_there_as_soon_as_they_mean_something(image_bundle: Bundle) -> None:
    metrics = metrics_of(with_p(image_bundle))
    for early in (Accuracy(None, None, None, 0.93, 0.05, 0, 1000), FEW):
        found = samples(metrics.exposition({}, early))
        gauges = {name: value for name, value in found.items() if not name[0].endswith("_total")}
        classes = {("harmgauge_class_accuracy", own.name): own.accuracy for own in early.classes}
        assert gauges == {("harmgauge_accuracy_base",): 0.93, ("harmgauge_accuracy_kappa",): 0.05} | classes
    found = samples(metrics.exposition({}, ENOUGH))
    bounds = {bound: found["harmgauge_accuracy", bound] for bound in ("estimate", "lower", "upper")}
    assert bounds == {"estimate": 0.9, "lower": 0.85, "upper": 0.94}
    shown = {name[1]: value for name, value in found.items() if name[0] == "harmgauge_class_accuracy"}
    assert shown == {"cat": 0.8, "dog": 0.7}, "of a class with fewer rows it would be noise"


def test_the_sums_are_of_rows_with_p_and_go_on_over_a_swap(image_bundle: Bundle) -> None:
    """While a bundle without P is served, they do not change: its rows are in no denominator and count as right
    nowhere.
    """
    process = Metrics(image_bundle.manifest, Readiness())
    first = metrics_of(with_p(image_bundle), process)
    sums = [("harmgauge_expected_errors_total",), ("harmgauge_expected_errors_variance_total",)]
    rows = ("harmgauge_expected_errors_rows_total",)
    begun = samples(first.exposition({}))
    assert [begun[name] for name in (*sums, rows)] == [0, 0, 0], "or the first increase is none"
    assert begun["harmgauge_harm_log_gain_total", "0.02"] == begun["harmgauge_harm_log_loss_total", "0.7"] == 0
    score(first, [0.5, 0.25])
    without = metrics_of(image_bundle, process)
    score(without, None)
    for now in (first, without):
        found = samples(now.exposition({}))
        assert [found[name] for name in sums] == [0.75, 0.25 + 0.1875]
        assert found[rows] == 2
    again = metrics_of(with_p(image_bundle), process)
    score(again, [1.0])
    assert samples(again.exposition({}))[rows] == 3
    assert samples(again.exposition({}))[sums[0]] == 1.75


def test_bets_are_counted_by_stake(image_bundle: Bundle) -> None:
    process = Metrics(image_bundle.manifest, Readiness())
    metrics = metrics_of(with_p(image_bundle), process)
    logs = np.arange(12.0).reshape(2, 6)
    process.errors.bet(logs)
    process.errors.bet(logs)
    found = samples(metrics.exposition({}))
    stakes = ("0.02", "0.05", "0.1", "0.2", "0.4", "0.7")
    assert [found["harmgauge_harm_log_gain_total", stake] for stake in stakes] == [0, 2, 4, 6, 8, 10]
    assert [found["harmgauge_harm_log_loss_total", stake] for stake in stakes] == [12, 14, 16, 18, 20, 22]


def test_acknowledgements_are_counted_from_zero(image_bundle: Bundle) -> None:
    metrics = metrics_of(image_bundle)
    counts = []
    for _ in range(2):
        text = metrics.exposition({}).decode()
        counts.append(next(line for line in text.splitlines() if line.startswith("harmgauge_drift_resets_total")))
        metrics.process.drift_reset()
    assert [float(line.rpartition(" ")[2]) for line in counts] == [0, 1]


@pytest.mark.parametrize("found", [ENOUGH, None])
def test_a_shadow_has_the_same_under_names_of_its_own(image_bundle: Bundle, found: Accuracy | None) -> None:
    text = ShadowMetrics(image_bundle, Comparison(), {}).exposition({}, found)
    own = samples(text)
    if found is None:
        assert own == {}
        return
    assert own["harmgauge_shadow_accuracy", "lower"] == 0.85
    assert own["harmgauge_shadow_class_accuracy", "cat"] == 0.8
    assert all(name[0].startswith("harmgauge_shadow_") for name in own)
