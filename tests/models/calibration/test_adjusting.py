"""A second network that doubts clean rows is adjusted with its hidden layer; a calibrated one is left alone."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.rows import Array
from harmgauge_models.calibration.adjusting import MOST_OFF, adjusted, score_adjusted
from harmgauge_models.calibration.calibrate import calibrate, calibrated
from harmgauge_models.calibration.known import Known
from harmgauge_models.data.disturber import Tags
from harmgauge_models.graphs.adjustment import ADJUSTMENT, MOST, last_hidden, with_output, without_adjustment
from harmgauge_models.graphs.error_probability import LOGIT, OUTPUT, give_logit
from harmgauge_models.graphs.fuse import Network, fuse
from harmgauge_models.graphs.run import predict
from tests.support import known_risk
from tests.support.known_risk import CLASSES

WIDTH = known_risk.WIDTH + 1
"""The width of the rows of `known_risk`, plus a number that is 1 if the row was disturbed."""

ROWS = 2000


@cache
def graph() -> bytes:
    """A classifier, and a head with one hidden layer that exposes the whole row."""
    reads = np.zeros((2, WIDTH, CLASSES), np.float32)
    reads[0, :CLASSES] = reads[1, CLASSES : 2 * CLASSES] = np.eye(CLASSES)
    return bytes(fuse(_linear(reads[0]), _linear(reads[1], hidden=True), "xent", 0.1).SerializeToString())


def _linear(weights: Array, *, hidden: bool = False) -> Network:
    tensors = [
        numpy_helper.from_array(value, name)
        for name, value in (
            ("weights", weights),
            ("all", np.eye(WIDTH, dtype=np.float32)),
            ("none", np.zeros_like(weights)),
        )
    ]
    nodes = [helper.make_node("MatMul", ["x", "weights"], ["y"])]
    if hidden:
        nodes = [
            helper.make_node("MatMul", ["x", "all"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "weights"], ["one"]),
            helper.make_node("MatMul", ["hidden", "none"], ["two"]),
            helper.make_node("Add", ["one", "two"], ["y"]),
        ]
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", WIDTH), ("y", CLASSES))
    ]
    made = helper.make_graph(nodes, "linear", shapes[:1], shapes[1:], tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return Network(model, ("x",), "y", "logits")


def clean(doubt: float, seed: int = 0) -> tuple[Array, Array]:
    """Rows for which the second network sees `doubt` times the true risk, and their classes."""
    random = np.random.default_rng(seed)
    y = random.integers(CLASSES, size=ROWS)
    risk = random.uniform(0.01, 0.2, ROWS)
    return np.pad(known_risk.rows(y, risk, doubt * risk, random), ((0, 0), (0, 1))), y


class Disturber:
    """Raises the risk of rows; the second network sees the new risk exactly."""

    families: tuple[str, ...] = ("a", "b")
    kinds: tuple[str, ...] = families
    clean_weight: float = 1.0

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        tags = np.full((len(x), 2), -1, np.int8)
        tags[:, 0] = random.integers(2, size=len(x))
        return self._changed(x, random.random(len(x)), random), tags

    def alone(self, x: Array, random: np.random.Generator, kind: str, strength: float) -> Array:
        return self._changed(x, np.full(len(x), strength), random)

    def _changed(self, x: Array, strength: Array, random: np.random.Generator) -> Array:
        risk = 0.1 + 0.5 * strength
        made = known_risk.rows(x[:, known_risk.WIDTH - 1].astype(np.int64), risk, risk, random)
        return np.pad(made, ((0, 0), (0, 1)), constant_values=1)


def test_doubt_about_clean_rows_is_taken_away() -> None:
    x, y = clean(doubt=3)
    known = Known(x, y)
    wrong = float((x[:, :CLASSES].argmax(1) != y).mean())
    alone = calibrate(graph(), Disturber(), known, seed=0, what="toy")
    assert not isinstance(alone, str)
    assert alone.base - wrong > MOST_OFF
    made, found = calibrated(graph(), Disturber(), known, seed=0, what="toy")
    assert not isinstance(found, str)
    assert found.base == pytest.approx(wrong, abs=0.01)
    assert found.slope < 0
    assert found.kappa < alone.kappa
    check_graph(made)

    others, others_y = clean(doubt=3, seed=1)
    p = predict(made, others, "rows", OUTPUT).astype(np.float64)
    assert p.mean() == pytest.approx((others[:, :CLASSES].argmax(1) != others_y).mean(), abs=0.015)
    for strength in (0.2, 0.8):
        changed = Disturber().alone(others, np.random.default_rng(2), "a", strength)
        truth = (changed[:, :CLASSES].argmax(1) != others_y).mean()
        assert predict(made, changed, "rows", OUTPUT).mean() == pytest.approx(truth, abs=0.03)


def test_rows_far_from_all_others_move_it_no_further() -> None:
    x, y = clean(doubt=3)
    made = adjusted(graph(), Disturber(), Known(x, y), seed=0, what="toy")
    far = x[:50].copy()
    far[:, -1] = np.linspace(-1e6, 1e6, 50)
    found = predict(with_output(made, ADJUSTMENT), far, "rows", ADJUSTMENT)
    assert np.abs(found).max() == MOST


def test_a_second_network_that_knows_clean_rows_is_left_alone() -> None:
    x, y = clean(doubt=1)
    assert adjusted(graph(), Disturber(), Known(x, y), seed=0, what="toy") == without_adjustment(graph())


def test_a_share_of_it_moves_the_score() -> None:
    x, y = clean(doubt=3)
    known, share = Known(x, y), 0.25
    made = score_adjusted(graph(), share, Disturber(), known, seed=0, what="toy")
    assert made is not None
    check_graph(made)
    whole = adjusted(graph(), Disturber(), known, seed=0, what="toy")
    term = predict(with_output(whole, ADJUSTMENT), x, "rows", ADJUSTMENT)[:, 0]
    assert np.ptp(term) > 0.5

    before, after = (predict(give_logit(each), x, "rows", LOGIT)[:, 0] for each in (graph(), made))
    np.testing.assert_allclose(after, before + share * term, atol=2e-3)
    sure = x[:, :CLASSES].max(1) - np.sort(x[:, :CLASSES], 1)[:, -2] > 1  # y is 1 for the classifier's answer
    assert sure.sum() > 100
    score = predict(made, x, "rows", "score")
    np.testing.assert_allclose(score[sure], np.logaddexp(0, -after[sure]), rtol=1e-3, atol=1e-5)


def test_p_of_an_adjusted_score_is_adjusted_by_the_rest() -> None:
    x, y = clean(doubt=3)
    made = score_adjusted(graph(), 0.25, Disturber(), Known(x, y), seed=0, what="toy")
    assert made is not None
    _, found = calibrated(made, Disturber(), Known(x, y), seed=0, what="toy")
    assert not isinstance(found, str)
    wrong = float((x[:, :CLASSES].argmax(1) != y).mean())
    assert found.base == pytest.approx(wrong, abs=0.01)
    assert score_adjusted(graph(), 0.25, Disturber(), Known(*clean(doubt=1)), seed=0, what="toy") is None


def test_doing_it_again_changes_nothing() -> None:
    x, y = clean(doubt=3)
    once, first = calibrated(graph(), Disturber(), Known(x, y), seed=0, what="toy")
    twice, again = calibrated(once, Disturber(), Known(x, y), seed=0, what="toy")
    assert first == again
    np.testing.assert_array_equal(predict(once, x, "rows", OUTPUT), predict(twice, x, "rows", OUTPUT))


def test_graphs_without_a_hidden_layer_have_none() -> None:
    assert last_hidden(known_risk.graph()) is None
    assert last_hidden(graph()) == "second/hidden"
