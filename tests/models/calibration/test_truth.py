"""Knowledge about the classes of calibration rows, with and without labels."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge_models.calibration.truth import labelled, stated


def test_labels_are_the_truth() -> None:
    truth = labelled(np.array([2, 0, 1]), 3)
    np.testing.assert_array_equal(truth.wrong(np.array([2, 1, 1, 0]), np.array([0, 1, 2, 2])), [0, 1, 0, 1])


@pytest.mark.parametrize("accuracy", [0.5, 0.75, 0.93, 0.999])
@pytest.mark.parametrize("sure", [0.1, 1.0, 20.0])
def test_without_labels_the_classifier_is_as_sure_as_it_is_said_to_be_right(accuracy: float, sure: float) -> None:
    random = np.random.default_rng(0)
    logits = sure * random.normal(size=(800, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth, every = stated(p, accuracy), np.arange(800)
    assert truth.wrong(p.argmax(1), every).mean() == pytest.approx(1 - accuracy, abs=1e-3)
    by_class = np.stack([truth.wrong(np.full(800, index), every) for index in range(4)])
    np.testing.assert_allclose((1 - by_class).sum(0), 1, atol=1e-6)
    assert (by_class.T.argmin(1) == p.argmax(1)).all()


def test_an_accuracy_of_1_makes_the_answers_the_truth() -> None:
    p = np.array([[0.6, 0.4], [0.1, 0.9]])
    np.testing.assert_allclose(stated(p, 1.0).wrong(np.array([0, 0]), np.array([0, 1])), [0, 1], atol=1e-6)


def test_a_classifier_that_gives_nothing_but_0_and_1_is_wrong_at_times_too() -> None:
    p = np.eye(3)[np.arange(600) % 3]
    assert stated(p, 0.9).wrong(p.argmax(1), np.arange(600)).mean() == pytest.approx(0.1, abs=1e-3)
