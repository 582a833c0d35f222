"""Harmful and harmless, input by input."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge_models.evaluation.severity import harm


def test_every_case_once() -> None:
    labels = np.array([0, 0, 0, 0])
    clean = np.array([0, 0, 1, 1])
    corrupted = np.array([0, 1, 0, 1])
    found = harm(clean, corrupted, labels)
    assert found.harmful.tolist() == [False, True, False, False]
    assert found.harmless.tolist() == [True, False, False, False]


def test_many_corruptions_at_once_are_each_alone() -> None:
    random = np.random.default_rng(0)
    labels, clean = random.integers(0, 3, (2, 50))
    corrupted = random.integers(0, 3, (5, 2, 50))
    together = harm(clean, corrupted, labels)
    assert together.harmful.shape == corrupted.shape
    for index in np.ndindex(5, 2):
        alone = harm(clean, corrupted[index], labels)
        np.testing.assert_array_equal(together.harmful[index], alone.harmful)
        np.testing.assert_array_equal(together.harmless[index], alone.harmless)
    right = np.broadcast_to(clean == labels, corrupted.shape)
    np.testing.assert_array_equal(together.harmful | together.harmless, right)
    assert not (together.harmful & together.harmless).any()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="corrupted"):
        harm(np.zeros(3, int), np.zeros(4, int), np.zeros(3, int))
