"""The judgement of a score, in cases with a known answer."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import parser

from harmgauge.bundle.rows import Array
from harmgauge_models.building import judge
from harmgauge_models.building.judge import MIN_HARMED, Compared, Judgement
from harmgauge_models.data.disturber import Disturber, Tags
from harmgauge_models.detectors.base import Folds, SecondNetwork
from harmgauge_models.measures.auc_difference import Difference

ROWS = 600


def rows() -> Array:
    """Rows of a number that decides the class, and the degree of disturbance, which is 0."""
    random = np.random.default_rng(0)
    decides = random.choice([-1.0, 1.0], ROWS) * random.uniform(0.2, 2, ROWS)
    return np.stack([decides, np.zeros(ROWS)], 1).astype(np.float32)


X = rows()
Y = (X[:, 0] > 0).astype(np.int64)


def graph(score: str) -> bytes:
    """A graph that predicts class 1 if the first number is above 0; `score` is computed from `x` (n, 2) and `entropy`
    (n,).
    """
    text = f"""
        <ir_version: 8, opset_import: ["" : 18]>
        judged (float[n, 2] input) => (float[n] score, float[n, 2] probabilities)
        <float[2, 2] w = {{-2.0, 2.0, 0.0, 0.0}}, int64[1] last = {{1}}, int64 second = {{1}}>
        {{
            logits = MatMul (input, w)
            probabilities = Softmax <axis = -1> (logits)
            logs = Log (probabilities)
            terms = Mul (probabilities, logs)
            negative = ReduceSum <keepdims = 0> (terms, last)
            entropy = Neg (negative)
            disturbed = Gather <axis = 1> (input, second)
            score = {score}
        }}"""
    return bytes(parser.parse_model(text).SerializeToString())


OMNISCIENT = graph("Identity (disturbed)")
NOTHING_BUT_ENTROPY = graph("Identity (entropy)")
UPSIDE_DOWN = graph("Neg (disturbed)")
NO_NUMBER = graph("Log (negative)")


class Flips:
    """Flips the class of some rows and records it in the second number; the others are unchanged."""

    families: tuple[str, ...] = ("flip", "nothing")

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        chosen = [index for index, name in enumerate(self.families) if names is None or name in names]
        tags = np.full((len(x), 2), -1, np.int8)
        tags[:, 0] = random.choice(chosen, len(x))
        flipped = tags[:, 0] == 0
        made = x.copy()
        made[flipped] = x[flipped] * [-1, 0] + [0, 1]
        return made, tags


class Nothing:
    families: tuple[str, ...] = ("nothing",)

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        return x.copy(), np.zeros((len(x), 2), np.int8)


def second(folds: Folds | None = None, made: dict[str, Any] | None = None) -> SecondNetwork:
    return SecondNetwork(None, made or {}, [], "distillation", left_out=None if folds is None else lambda: folds)


def judged(
    of: bytes, network: SecondNetwork | None = None, y: npt.NDArray[np.int64] | None = Y, by: Disturber | None = None
) -> Judgement:
    found = judge.judge(of, network or second(), by or Flips(), X, y, seed=0)
    json.dumps(judge.table(found, "distillation"), allow_nan=False)
    return found


def test_a_score_that_knows_all_is_worth_serving() -> None:
    found = judged(OMNISCIENT)
    assert (found.target, found.known, found.entropy_is_better) == ("wrong", True, False)
    assert found.seen.score == 1
    assert 0.45 < found.seen.entropy < 0.55, "a turned row is as sure as before"
    assert found.seen.gain.difference == pytest.approx(1 - found.seen.entropy)
    assert 0.4 < found.seen.positive / found.seen.rows < 0.6
    assert judge.worth_serving(found, "distillation")
    assert judge.sentence(found, "distillation").startswith("Worth serving: on random disturbances, it ranks")
    learned = judged(OMNISCIENT, second(made={"resembled_kinds": ["flip"]}))
    assert "on disturbances like those it was trained on, it ranks" in judge.sentence(learned, "distillation")
    assert "ROC AUC of 1.000" in judge.sentence(found, "distillation")


def test_entropy_itself_gains_nothing() -> None:
    found = judged(NOTHING_BUT_ENTROPY)
    assert found.seen.score == pytest.approx(found.seen.entropy)
    assert found.seen.gain.difference == pytest.approx(0, abs=1e-9)
    assert not judge.worth_serving(found, "distillation"), "it ranks like a coin here"
    assert judge.sentence(found, "entropy").startswith("Of little use: the classifier's entropy ranks")


@pytest.mark.parametrize("of", [UPSIDE_DOWN])
def test_a_score_below_entropy_is_to_be_replaced(of: bytes) -> None:
    found = judged(of)
    assert (found.seen.score, found.entropy_is_better) == (0, True)
    assert not judge.worth_serving(found, "distillation")
    assert "entropy alone would be better" in judge.sentence(found, "distillation")


def test_a_score_that_is_no_number_ranks_nothing() -> None:
    assert judged(NO_NUMBER).seen.score == pytest.approx(0.5)


def test_too_few_harmed_rows_tell_nothing() -> None:
    found = judged(UPSIDE_DOWN, by=Nothing())
    assert (found.seen.positive, found.known, found.entropy_is_better) == (0, False, False)
    told = judge.table(found, "distillation")
    assert told["seen"] == {"rows": found.seen.rows, "positive": 0, "roc_auc": None, "score_minus_entropy": None}
    assert told["worth_serving"], "nothing is held against it"
    assert f"at least {MIN_HARMED} harmed and as many harmless rows are needed" in told["sentence"]
    assert told["by_family"] == {}


def test_without_labels_what_changes_the_prediction_is_harm() -> None:
    found = judged(OMNISCIENT, y=None)
    assert (found.target, found.clean, found.seen.score) == ("changed", None, 1)


def test_rows_that_were_wrong_before_are_not_judged() -> None:
    wrong = np.arange(ROWS) % 3 == 0
    found = judged(OMNISCIENT, y=np.where(wrong, 1 - Y, Y))
    copies = judged(OMNISCIENT).seen.rows // ROWS
    assert found.seen.rows == copies * (~wrong).sum()
    assert found.seen.score == 1
    assert found.clean is not None
    assert (found.clean.positive, found.clean.rows) == (wrong.sum(), ROWS)
    assert found.clean.score == 0.5, "it knows of disturbances alone"


def test_by_family() -> None:
    found = judged(OMNISCIENT)
    assert set(found.by_family) == set(Flips.families)
    flip, nothing = (found.by_family[name] for name in Flips.families)
    assert flip.positive == flip.rows == found.seen.positive
    assert (nothing.positive, nothing.rows) == (0, found.seen.rows - flip.rows)
    assert judge.table(found, "distillation")["by_family"]["flip"]["roc_auc"] is None


def test_disturbances_that_were_not_seen_decide() -> None:
    """The score ranks known disturbances perfectly; networks trained without them decide."""

    def coin(x: Array) -> npt.NDArray[np.float32]:
        return np.full((len(x), 2), np.log(0.5), np.float32)

    def knows(x: Array) -> npt.NDArray[np.float32]:
        # the probability of the classifier's answer is lower for a flipped row
        sure = np.where(x[:, 1:] > 0, -5.0, -0.01)
        return np.broadcast_to(sure, (len(x), 2)).astype(np.float32)

    families = [("flip",), ("nothing",)]
    for folds, score in (
        (Folds(families, lambda x: [coin(x), coin(x)]), 0.5),
        (Folds(families, lambda x: [knows(x), knows(x)]), 1.0),
    ):
        found = judged(OMNISCIENT, second(folds))
        assert found.seen.score == 1
        assert found.unseen is not None
        assert found.unseen.score == pytest.approx(score)
        assert found.deciding == found.unseen
        assert 0.4 < found.unseen.positive / found.unseen.rows < 0.6, "either fold gives as many rows"
        assert "on disturbances that it was not trained on" in judge.sentence(found, "distillation")
        assert judge.table(found, "distillation")["unseen"]["roc_auc"]["score"] == score


def test_the_same_seed_judges_the_same() -> None:
    assert judged(NOTHING_BUT_ENTROPY).seen == judged(NOTHING_BUT_ENTROPY).seen


def compared(score: float, entropy: float, low: float, high: float) -> Compared:
    gain = Difference(score - entropy, low, high)
    return Compared(100, 300, score, entropy, entropy, gain)


@pytest.mark.parametrize(("low", "high", "is_said"), [(-0.1, -0.01, True), (-0.1, 0.01, False), (0.01, 0.1, False)])
def test_a_score_that_is_worse_on_undisturbed_rows_says_so(low: float, high: float, is_said: bool) -> None:
    clean = compared(0.8, 0.85, low, high)
    unseen = compared(0.9, 0.7, 0.1, 0.3)
    judgement = Judgement(unseen, unseen, True, clean, {}, "wrong")
    assert ("undisturbed" in judge.sentence(judgement, "distillation")) == is_said
