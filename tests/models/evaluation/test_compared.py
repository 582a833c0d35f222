"""Score and entropy side by side, and the cases in which the report states that entropy is better."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge_models.evaluation import compared
from harmgauge_models.evaluation.measure import CLEAN, Measured
from harmgauge_models.measures.auc_difference import auc_difference

ROWS = 400


def outputs(seed: int, score: float, entropy: float) -> Measured:
    """A classifier that is wrong on three rows in ten; both scores separate them more or less well."""
    random = np.random.default_rng(seed)
    wrong = random.random(ROWS) < 0.3
    scores = {"score": score * wrong + random.normal(size=ROWS), "entropy": entropy * wrong + random.normal(size=ROWS)}
    return Measured(scores, wrong.astype(np.int64), None, None)


LABELS = np.zeros(ROWS, np.int64)
MEASURED = {
    CLEAN: Measured(outputs(0, 1, 1).scores, LABELS, None, None),
    ("good", 3): outputs(1, 3, 1),
    ("bad", 3): outputs(2, 0.3, 3),
    ("bad", 5): outputs(3, 0.3, 3),
    ("alike", 5): outputs(4, 1, 1),
}


def quality() -> dict[str, object]:
    return {
        "clean": {"wrong_right": compared.wrong_right([MEASURED[CLEAN]], LABELS)},
        "pooled": compared.pooled(MEASURED, LABELS),
        "severity": {str(level): compared.level(MEASURED, level, LABELS) for level in (3, 5)},
    }


def test_what_is_worse_than_entropy_is_listed_and_nothing_else() -> None:
    found = {(entry["kind"], entry["severity"]) for entry in compared.below_entropy(quality())}
    assert {("bad", "3"), ("bad", "5"), ("bad", "all")} <= found
    assert not {("good", "3"), ("good", "all"), ("alike", "5"), ("alike", "all"), ("none", "clean")} & found


def test_intervals_of_several_copies_count_each_row_once() -> None:
    pooled = compared.pooled(MEASURED, LABELS)["by_kind"]["bad"]
    copies = [MEASURED["bad", 3], MEASURED["bad", 5]]
    scores = [np.concatenate([one.scores[name] for one in copies]) for name in ("score", "entropy")]
    wrong = np.concatenate([one.predictions != 0 for one in copies])
    expected = auc_difference(scores[0], scores[1], wrong, np.tile(np.arange(ROWS), 2))
    assert pooled["score_minus_entropy"] == pytest.approx(expected._asdict())
    assert pooled["rows"] == [wrong.sum(), (~wrong).sum()]


def test_a_score_that_is_entropy_is_below_it_nowhere() -> None:
    same = {
        copy: Measured(dict.fromkeys(("score", "entropy"), one.scores["entropy"]), one.predictions, None, None)
        for copy, one in MEASURED.items()
    }
    found = compared.pooled(same, LABELS)
    assert found["wrong_right"]["score_minus_entropy"] == {"difference": 0, "low": 0, "high": 0}
    whole = {"clean": {"wrong_right": compared.wrong_right([same[CLEAN]], LABELS)}, "pooled": found, "severity": {}}
    assert compared.below_entropy(whole) == []
