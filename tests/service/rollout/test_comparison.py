"""Counts of two bundles' flags on the same rows, and their metrics, compared with plain counting."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import spearmanr

from harmgauge.bundle.load import Bundle
from harmgauge.errors import InferenceFailed, NonFiniteScore
from harmgauge.inference.scorer import Scored
from harmgauge.rollout.comparison import RECENT_ROWS, Comparison, rank_correlation
from harmgauge.rollout.shadow_metrics import ShadowMetrics

Row = tuple[bool, bool, int, int]


def scored(flags: list[bool], classes: list[int], scores: list[float] | None = None) -> Scored:
    rows = len(flags)
    return Scored(
        np.array(scores if scores is not None else np.arange(rows), np.float32),
        np.array(flags, np.bool_),
        np.array(classes, np.int64),
        np.zeros((rows, 3), np.float32),
    )


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2), st.integers(0, 2)), min_size=1)))
def test_rows_are_counted_by_both_flags(requests: list[list[Row]]) -> None:
    comparison = Comparison()
    for request in requests:
        served, shadow, one, other = (list(column) for column in zip(*request, strict=True))
        comparison.scored(scored(served, one), scored(shadow, other))
    rows = [row for request in requests for row in request]
    for served_flag in (False, True):
        for flag in (False, True):
            expected = sum(row[:2] == (served_flag, flag) for row in rows)
            assert comparison.rows[int(served_flag), int(flag)] == expected
    assert comparison.other_class_rows == sum(row[2] != row[3] for row in rows)
    assert len(comparison.recent()) == min(len(rows), RECENT_ROWS)


def test_scores_stay_with_those_of_the_same_row() -> None:
    comparison, random = Comparison(), np.random.default_rng(0)
    pairs = random.normal(size=(RECENT_ROWS + 70, 2)).astype(np.float32)
    for start in range(0, len(pairs), 10):
        part, flags = pairs[start : start + 10], [False] * 10
        comparison.scored(*(scored(flags, [0] * 10, part[:, column].tolist()) for column in (0, 1)))
    assert np.array_equal(comparison.recent(), pairs[-RECENT_ROWS:])


def test_rank_correlation_is_scipys_and_none_where_there_is_none() -> None:
    random = np.random.default_rng(1)
    pairs = random.normal(size=(50, 2))
    assert rank_correlation(pairs) == pytest.approx(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
    assert rank_correlation(np.stack([pairs[:, 0], np.exp(pairs[:, 0])], 1)) == pytest.approx(1)
    assert rank_correlation(np.stack([pairs[:, 0], np.zeros(50)], 1)) is None
    assert rank_correlation(pairs[:1]) is None
    assert rank_correlation(pairs[:0]) is None


def test_failures_are_counted_by_reason_and_logged_once_in_a_row(caplog: pytest.LogCaptureFixture) -> None:
    comparison = Comparison()
    with caplog.at_level(logging.ERROR):
        for error in (InferenceFailed("a"), NonFiniteScore("b"), ValueError("c"), ValueError("d")):
            comparison.failed(2, error)
        assert len(caplog.records) == 1
        comparison.scored(scored([True], [0]), scored([True], [0]))
        comparison.failed(1, InferenceFailed("e"))
    assert len(caplog.records) == 2
    assert comparison.failed_rows == {"inference_failed": 3, "non_finite_score": 2, "internal": 4}


def test_metrics_have_names_of_their_own(image_bundle: Bundle) -> None:
    """Under the served bundle's names they would enter its sums and alerts."""
    comparison = Comparison()
    comparison.scored(scored([True, False, False], [0, 1, 2]), scored([True, True, False], [0, 1, 1]))
    comparison.shed(5)
    comparison.failed(4, NonFiniteScore("x"))
    text = ShadowMetrics(image_bundle, comparison, {}).exposition({}).decode()
    families = list(text_string_to_metric_families(text))
    assert all(family.name.startswith("harmgauge_shadow_") for family in families)
    found = {
        (sample.name, *(sample.labels.get(label) for label in ("served_flag", "flag", "reason"))): sample.value
        for family in families
        for sample in family.samples
    }
    instances = "harmgauge_shadow_instances_total"
    assert found[instances, "adversarial", "adversarial", None] == 1
    assert found[instances, "clean", "adversarial", None] == 1
    assert found[instances, "clean", "clean", None] == 1
    assert found[instances, "adversarial", "clean", None] == 0
    assert found["harmgauge_shadow_other_class_total", None, None, None] == 1
    assert found["harmgauge_shadow_shed_total", None, None, None] == 5
    assert found["harmgauge_shadow_errors_total", None, None, "non_finite_score"] == 4
    assert found["harmgauge_shadow_errors_total", None, None, "inference_failed"] == 0
    assert "score_bucket" not in text, "who reads metrics may not see its scores"
