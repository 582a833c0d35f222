"""Selects the corrected prediction."""

from __future__ import annotations

import numpy as np

from harmgauge.inference.correction import correct
from harmgauge.inference.scorer import Scored


def test_the_defense_replaces_the_prediction_where_flagged_and_nowhere_else() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], np.float32)
    defense = np.array([[0.4, 0.6], [0.1, 0.9], [0.6, 0.4]], np.float32)
    flags = np.array([False, True, True])
    labels = probabilities.argmax(1)
    scored = Scored(np.zeros(3, np.float32), flags, labels, probabilities, corrected_probabilities=defense)
    correction = correct(scored)
    assert correction.no_defense.tolist() == [0, 0, 1]
    assert correction.defense.tolist() == [1, 1, 0]
    assert correction.corrected.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(correction.corrected_probabilities[0], probabilities[0])
    np.testing.assert_array_equal(correction.corrected_probabilities[1:], defense[1:])
    np.testing.assert_array_equal(correction.defense_probabilities, defense)
    assert correction.corrected.dtype == np.int64
