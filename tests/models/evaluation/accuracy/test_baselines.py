"""The literature's estimates compared with closed forms and cases small enough to count."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from harmgauge_models.evaluation.accuracy.baselines import Baseline, CrossFitted, transport_cost
from harmgauge_models.evaluation.measure import Measured
from tests.models.evaluation.accuracy.rows import CLASSES, judged


def fitted(confidence: list[float], right: list[bool], entropy: list[float]) -> Baseline:
    return Baseline.fit(np.array(confidence), np.array(entropy), np.array(right), np.zeros(len(right), np.int64), 1)


def test_estimates_of_rows_small_enough_to_count() -> None:
    baseline = fitted([0.9, 0.9, 0.6, 0.6], [True, True, True, False], [0.1, 0.2, 0.3, 0.4])
    columns = baseline.by_method(np.array([0.9, 0.6, 0.6, 0.6]), np.array([0.1, 0.3, 0.31, 0.5]))
    found = {method: column.mean() for method, column in columns.items()}
    assert found["clean_accuracy"] == 0.75
    assert found["mean_confidence"] == pytest.approx((0.9 + 3 * 0.6) / 4)
    assert found["cbpe"] == pytest.approx((1 + 3 * 0.5) / 4), "of .9 all were right, of .6 half"
    assert found["atc"] == 0.5, "three of four clean rows have an entropy of at most .3, and three were right"


def test_on_the_rows_that_fitted_them_the_estimates_are_the_accuracy() -> None:
    random = np.random.default_rng(0)
    confidence = random.random(2000)
    right = random.random(2000) < confidence**2
    found = fitted(confidence.tolist(), right.tolist(), (-confidence).tolist()).by_method(confidence, -confidence)
    assert found["atc"].mean() == pytest.approx(right.mean(), abs=1e-9)
    assert found["cbpe"].mean() == pytest.approx(right.mean(), abs=1e-9), "isotonic regression keeps the mean"


def test_a_classifier_that_is_never_right_has_no_row_below_the_threshold_of_atc() -> None:
    baseline = fitted([0.9, 0.5], [False, False], [0.1, 0.5])
    assert baseline.by_method(np.array([0.9]), np.array([0.0]))["atc"].mean() == 0


def test_rows_are_judged_by_what_the_other_half_fitted() -> None:
    """The classifier is right on all of the first half and none of the second: each half is judged by the other's
    accuracy.
    """
    folds, rows = np.repeat([0, 1], 50), 100
    labels, random = np.zeros(rows, np.int64), np.random.default_rng(0)
    scores = {"score": random.random(rows), "doubt": random.random(rows), "entropy": random.random(rows)}
    chance = random.random(rows).astype(np.float32)
    measured = Measured(scores, folds.astype(np.int64), None, None, chance)
    found = CrossFitted.fit(measured, labels, folds, 2).judged(measured, labels, folds)
    assert found.right.tolist() == [True] * 50 + [False] * 50
    assert found.by_method["clean_accuracy"].tolist() == [0.0] * 50 + [1.0] * 50
    assert found.by_method["cbpe"].tolist() == [0.0] * 50 + [1.0] * 50
    np.testing.assert_allclose(found.error_probability, chance, rtol=1e-6)
    assert found.estimate() == pytest.approx(1 - chance.mean())
    np.testing.assert_array_equal(found.by_method["mean_confidence"], 1 - scores["doubt"])


def test_transport_costs_what_the_best_of_all_assignments_does() -> None:
    probabilities = np.random.default_rng(3).dirichlet(np.ones(3), 6)
    labels = [0, 0, 0, 1, 1, 2]
    best = min(np.mean([1 - row[label] for row, label in zip(probabilities, order, strict=True)])
               for order in set(permutations(labels)))  # fmt: skip
    assert transport_cost(probabilities, np.array([3, 2, 1]) / 6) == pytest.approx(best)


def test_transport_of_certain_answers_costs_the_difference_of_the_class_shares() -> None:
    """Total variation: 1 - the probability of a label is the distance between two corners of the simplex, 1 or 0."""
    answers = np.repeat(np.eye(3), [60, 30, 10], axis=0)
    assert transport_cost(answers, np.array([0.6, 0.3, 0.1])) == 0
    assert transport_cost(answers, np.array([0.4, 0.4, 0.2])) == pytest.approx(0.2)


def test_cot_is_that_of_each_half_with_the_class_shares_of_the_other() -> None:
    rows = judged(101, probabilities=True)
    assert rows.probabilities is not None
    shares = np.array([[0.7, 0.1, 0.1, 0.1], [0.25] * CLASSES])
    baselines = CrossFitted(
        tuple(replace(fitted([0.5], [True], [0.5]), class_shares=own) for own in shares)  # type: ignore[arg-type]  # tuple() forgets the length
    )
    costs = [transport_cost(rows.probabilities[rows.folds == fold], shares[fold]) for fold in (0, 1)]
    assert baselines.cot(rows, seed=1) == pytest.approx(1 - (51 * costs[0] + 50 * costs[1]) / 101)


def test_cot_draws_the_same_rows_for_the_same_seed() -> None:
    rows = judged(2000, probabilities=True)
    one = fitted([0.5], [True], [0.5])
    baselines = CrossFitted((replace(one, class_shares=np.full(CLASSES, 0.25)),) * 2)
    assert baselines.cot(rows, seed=1) == baselines.cot(rows, seed=1) != baselines.cot(rows, seed=2)
