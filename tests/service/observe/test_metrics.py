"""The exposition for Prometheus, read by prometheus-client's own parser."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from harmgauge.bundle.load import Bundle
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.observe.bundle_metrics import BundleMetrics
from harmgauge.observe.collectors import ScoreHistogram
from harmgauge.observe.metrics import MAX_CLASSES, Metrics
from harmgauge.readiness import Readiness


def drift_state(p_value: float | None, rows: int) -> DriftState:
    return DriftState(
        state="warming" if p_value is None else "drifting",
        p_value=p_value,
        statistic=None if p_value is None else 0.5,
        threshold=0.07,
        window_rows=100,
        rows=rows,
        reference_rows=1000,
        rows_between_false_alarms=1_000_000,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        total_rows=rows,
        p_value_threshold=8e-5,
    )


def of_bundle(bundle: Bundle, readiness: Readiness | None = None) -> BundleMetrics:
    process = Metrics(bundle.manifest, readiness or Readiness())
    return BundleMetrics(bundle, process, {"drift_direction": "Which way."}, lambda: 7)


def samples(text: bytes) -> dict[str, float]:
    """The samples by name and labels, without the labels that all have."""
    everywhere = ("model", "bundle")
    return {
        sample.name
        + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items()) if name not in everywhere): (
            sample.value
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_drift_gauges_are_absent_until_the_window_is_full(image_bundle: Bundle) -> None:
    """A gauge that starts at 0 would be a false alarm at every deployment."""
    metrics = of_bundle(image_bundle)
    warming = samples(metrics.exposition({"score_ks": drift_state(None, 40)}))
    assert "harmgauge_drift_p_value,detector=score_ks" not in warming
    assert "harmgauge_drift_statistic,detector=score_ks" not in warming
    assert "harmgauge_drift_statistic_threshold,detector=score_ks" not in warming
    assert warming["harmgauge_drift_window_rows,detector=score_ks"] == 40
    assert warming["harmgauge_drift_detected,detector=score_ks"] == 0
    full = samples(metrics.exposition({"score_ks": drift_state(1.234e-20, 100)}))
    assert full["harmgauge_drift_p_value,detector=score_ks"] == 1.234e-20
    assert full["harmgauge_drift_statistic,detector=score_ks"] == 0.5
    assert full["harmgauge_drift_statistic_threshold,detector=score_ks"] == 0.07
    assert full["harmgauge_drift_p_value_threshold,detector=score_ks"] == 8e-5
    assert full["harmgauge_drift_detected,detector=score_ks"] == 1


def test_counters_exist_from_the_start_and_count(image_bundle: Bundle) -> None:
    metrics = of_bundle(image_bundle)
    before = samples(metrics.exposition({}))
    assert before["harmgauge_instances_total,flag=clean"] == 0
    assert before["harmgauge_instances_total,flag=adversarial"] == 0
    assert before["harmgauge_score_count"] == 0
    assert before["harmgauge_score_threshold"] == image_bundle.threshold
    assert before["harmgauge_rejected_total,reason=non_finite_score"] == 0, "or the first one is no increase"
    info = f"harmgauge_bundle_info,detector=distillation,sha256={image_bundle.sha256},version=1"
    assert before[info] == 1
    scores = np.array([0.0, 1.0, 100.0], np.float32)
    metrics.scored(Blocks.of(scores), scores > 0.5, np.array([2, 0, 2]))
    metrics.process.answered("/score", 200, 0.004)
    metrics.process.rejected("queue_full")
    after = samples(metrics.exposition({}))
    assert after["harmgauge_instances_total,flag=clean"] == 1
    assert after["harmgauge_instances_total,flag=adversarial"] == 2
    assert after["harmgauge_score_count"] == 3
    assert after["harmgauge_score_sum"] == 101
    assert after["harmgauge_requests_total,route=/score,status=200"] == 1
    assert after["harmgauge_request_seconds_bucket,le=0.005,route=/score"] == 1
    assert after["harmgauge_rejected_total,reason=queue_full"] == 1


def with_classes(bundle: Bundle, names: tuple[str, ...]) -> Bundle:
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"class_names": names}))


def test_predictions_are_counted_by_the_names_of_their_classes(image_bundle: Bundle) -> None:
    metrics = of_bundle(with_classes(image_bundle, ("cat", "dog", "frog")))
    for predictions in ([2, 0, 2], [0], [2]):
        metrics.scored(
            Blocks.of(np.zeros(len(predictions))), np.zeros(len(predictions), np.bool_), np.array(predictions)
        )
    found = samples(metrics.exposition({}))
    counts = {name: found[f"harmgauge_predictions_total,class={name}"] for name in ("cat", "dog", "frog")}
    assert counts == {"cat": 2, "dog": 0, "frog": 3}


@pytest.mark.parametrize(("classes", "series"), [(MAX_CLASSES, MAX_CLASSES), (MAX_CLASSES + 1, 0)])
def test_many_classes_are_not_as_many_series(image_bundle: Bundle, classes: int, series: int) -> None:
    metrics = of_bundle(with_classes(image_bundle, tuple(f"class {index}" for index in range(classes))))
    metrics.scored(Blocks.of(np.zeros(1)), np.zeros(1, np.bool_), np.array([classes - 1]))
    found = samples(metrics.exposition({}))
    assert sum(name.startswith("harmgauge_predictions_total") for name in found) == series
    assert found["harmgauge_score_count"] == 1


def test_the_share_that_is_flagged_without_drift_is_that_of_the_reference(image_bundle: Bundle) -> None:
    found = samples(of_bundle(image_bundle).exposition({}))
    assert found["harmgauge_reference_flagged_ratio"] == np.mean(image_bundle.reference.scores > image_bundle.threshold)
    assert found["harmgauge_reference_flagged_ratio"] == pytest.approx(0.05, abs=0.01)


def test_it_is_ready_while_it_takes_work(image_bundle: Bundle) -> None:
    readiness = Readiness()
    metrics = of_bundle(image_bundle, readiness)
    ready = [samples(metrics.exposition({}))["harmgauge_ready"]]
    for change in (readiness.ready, readiness.draining):
        change()
        ready.append(samples(metrics.exposition({}))["harmgauge_ready"])
    assert ready == [0, 1, 0]


def test_the_reference_is_there_in_the_same_buckets(image_bundle: Bundle) -> None:
    """Prometheus needs it to compute the statistic of a fleet."""
    metrics = of_bundle(image_bundle)
    found = samples(metrics.exposition({}))
    bounds, reference = (
        {name.partition(",le=")[2]: value for name, value in found.items() if name.startswith(f"{which}_bucket")}
        for which in ("harmgauge_score", "harmgauge_reference_score")
    )
    assert set(reference) == set(bounds)
    assert found["harmgauge_reference_score_count"] == len(image_bundle.reference.scores)
    for bound, value in reference.items():
        assert value == (image_bundle.reference.scores <= float(bound)).sum()


def test_bundles_and_precisions_never_share_a_histogram(image_bundle: Bundle) -> None:
    """Each has its own reference and its own bounds, so Prometheus must not add their buckets."""
    rebuilt = replace(image_bundle, sha256="f" * 64)
    eight_bits = replace(image_bundle, precision="int8")
    keys = set()
    for bundle in (image_bundle, rebuilt, eight_bits):
        families = text_string_to_metric_families(of_bundle(bundle).exposition({}).decode())
        found = {
            sample.labels["bundle"]
            for family in families
            for sample in family.samples
            if "score_" in sample.name and family.type == "histogram"
        }
        assert found == {bundle.key}
        keys |= found
    assert len(keys) == 3


@given(
    reference=st.lists(st.floats(0, 20), min_size=100, max_size=300),
    scores=st.lists(st.floats(-1, 21, width=32), min_size=1, max_size=60),
)
def test_a_bucket_counts_the_scores_up_to_its_bound(reference: list[float], scores: list[float]) -> None:
    registry = CollectorRegistry()
    histogram = ScoreHistogram("toy", "0-float32", np.sort(reference))
    registry.register(histogram)
    histogram.observe(np.array(scores, np.float32))
    (family,) = text_string_to_metric_families(generate_latest(registry).decode())
    buckets = {float(s.labels["le"]): s.value for s in family.samples if s.name.endswith("_bucket")}
    assert buckets[float("inf")] == len(scores)
    for bound, count in buckets.items():
        assert count == sum(score <= bound for score in scores)


def test_the_buckets_are_the_references_quantiles() -> None:
    """Each of the 64 buckets holds the same number of reference scores, within one."""
    reference = np.sort(np.random.default_rng(0).exponential(size=5000))
    registry = CollectorRegistry()
    histogram = ScoreHistogram("toy", "0-float32", reference)
    registry.register(histogram)
    histogram.observe(reference)
    (family,) = text_string_to_metric_families(generate_latest(registry).decode())
    counts = np.diff([0, *(s.value for s in family.samples if s.name.endswith("_bucket"))])
    assert len(counts) == 64
    assert set(counts) <= {78, 79}
    assert pytest.approx(78.1, abs=0.1) == 5000 / 64
