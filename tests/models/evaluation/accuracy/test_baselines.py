"""The literature's estimates against closed forms and cases small enough to count."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from harmgauge_models.evaluation.accuracy.baselines import Baselines, transport_cost
from harmgauge_models.evaluation.accuracy.judged import Judged
from tests.models.evaluation.accuracy.rows import CLASSES, judged


def rows_of(confidence: list[float], right: list[bool], entropy: list[float] | None = None) -> Judged:
    numbers = np.array(confidence)
    return Judged(
        1 - numbers,
        np.array(right),
        numbers,
        1 - numbers if entropy is None else np.array(entropy),
        1 - numbers,
        np.zeros(len(right), np.int64),
        None,
    )


def test_estimates_of_rows_small_enough_to_count() -> None:
    clean = rows_of([0.9, 0.9, 0.6, 0.6], [True, True, True, False], [0.1, 0.2, 0.3, 0.4])
    baselines = Baselines.fit(clean, 1)
    later = rows_of([0.9, 0.6, 0.6, 0.6], [True] * 4, [0.1, 0.3, 0.31, 0.5])
    found = baselines.estimates(later)
    assert found["clean_accuracy"] == 0.75
    assert found["mean_confidence"] == pytest.approx((0.9 + 3 * 0.6) / 4)
    assert found["cbpe"] == pytest.approx((1 + 3 * 0.5) / 4), "of .9 all were right, of .6 half"
    assert found["atc"] == 0.5, "three of four clean rows have at most an entropy of .3, and so many were right"
    assert found["error_probability"] == pytest.approx(found["mean_confidence"])


def test_on_the_rows_that_fitted_them_the_estimates_are_the_accuracy() -> None:
    clean = judged(2000)
    found = Baselines.fit(clean, CLASSES).estimates(clean)
    assert found["atc"] == pytest.approx(clean.accuracy, abs=1e-9)
    assert found["cbpe"] == pytest.approx(clean.accuracy, abs=1e-9), "isotonic regression keeps the mean"


def test_a_classifier_that_is_never_right_has_no_row_below_the_threshold_of_atc() -> None:
    clean = rows_of([0.9, 0.5], [False, False])
    assert Baselines.fit(clean, 1).estimates(clean)["atc"] == 0


def test_transport_costs_what_the_best_of_all_assignments_does() -> None:
    probabilities = np.random.default_rng(3).dirichlet(np.ones(3), 6)
    labels = [0, 0, 0, 1, 1, 2]
    best = min(np.mean([1 - row[label] for row, label in zip(probabilities, order, strict=True)])
               for order in set(permutations(labels)))  # fmt: skip
    assert transport_cost(probabilities, np.array([3, 2, 1]) / 6) == pytest.approx(best)


def test_transport_of_certain_answers_costs_the_difference_of_the_class_shares() -> None:
    """Total variation: 1 - the probability of a label is the distance of two corners of the simplex, 1 or 0."""
    answers = np.repeat(np.eye(3), [60, 30, 10], axis=0)
    assert transport_cost(answers, np.array([0.6, 0.3, 0.1])) == 0
    assert transport_cost(answers, np.array([0.4, 0.4, 0.2])) == pytest.approx(0.2)


def test_cot_draws_the_same_rows_for_the_same_seed() -> None:
    clean = judged(3000, probabilities=True)
    baselines = Baselines.fit(clean, CLASSES)
    assert baselines.cot(clean, seed=1) == baselines.cot(clean, seed=1) != baselines.cot(clean, seed=2)
