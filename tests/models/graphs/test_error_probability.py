"""P(wrong) in the graph compared with the same in numpy, for any outputs of the two networks."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array
from harmgauge.bundle.samples import read_samples
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.divergence import Gives, Loss
from harmgauge_models.graphs.error_probability import LOGIT, MOST_LOGIT, OUTPUT, give, give_logit, logit_q
from harmgauge_models.graphs.fuse import Network, fuse, with_entropy
from harmgauge_models.graphs.run import open_session, predict, predict_all
from tests.conftest import ROOT, SHIPPED_BUNDLE

CLASSES = 3


def part(first: int, gives: Gives, opset: int) -> Network:
    """A network that outputs some columns of its input, unchanged or as their softmax."""
    tensors = [
        numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("begin", first), ("end", first + CLASSES), ("axis", 1))
    ]
    nodes = [helper.make_node("Slice", ["x", "begin", "end", "axis"], ["logits"])]
    if gives == "probabilities":
        nodes.append(helper.make_node("Softmax", ["logits"], ["y"], axis=1))
    else:
        nodes.append(helper.make_node("Identity", ["logits"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "part",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2 * CLASSES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return Network(model, ("x",), "y", gives)


def fused(gives: Gives = "logits", loss: Loss = "xent", opset: int = 18, temperature: float = 0.1) -> bytes:
    model = fuse(part(0, "logits", opset), part(CLASSES, gives, opset), loss, temperature)
    return bytes(model.SerializeToString())


def expected(x: Array, named: npt.NDArray[np.intp], slope: float, intercept: float) -> npt.NDArray[np.float64]:
    """By definition, in float64: q of the `named` classes, clipped, its logit, the sigmoid."""
    second = x[:, CLASSES:].astype(np.float64)
    powers = np.exp(second - second.max(1, keepdims=True))
    of_named = np.arange(CLASSES) == named[:, None]
    odds = powers[of_named] / powers[~of_named].reshape(len(x), -1).sum(1)
    logits = np.log(np.clip(odds, 1e-6 / (1 - 1e-6), (1 - 1e-6) / 1e-6))
    return np.asarray(1 / (1 + np.exp(-(slope * logits + intercept))))


ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 7), st.just(2 * CLASSES)),
    elements=st.floats(-40, 40, width=32, allow_subnormal=False),
)
LINES = [(-0.76, 0.19), (-0.05, -2.0), (-3.0, 4.0)]
WAYS: list[tuple[Gives, Loss]] = list(product(("logits", "probabilities"), ("xent", "kld")))


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("way", WAYS)
def test_it_is_what_numpy_makes_of_the_same_logits(way: tuple[Gives, Loss], line: tuple[float, float]) -> None:
    session = open_session(give(fused(*way), *line))

    @given(x=ROWS)
    def check(x: Array) -> None:
        found, probabilities = session.run([OUTPUT, "probabilities"], {"input": x})
        assert found.dtype == np.float32
        assert found.shape == (len(x),)
        np.testing.assert_allclose(found, expected(x, probabilities.argmax(1), *line), atol=3e-6)

    check()


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_a_second_network_that_is_sure_is_clipped(sure: float) -> None:
    x = np.array([[5, 0, 0, 300 if sure else -300, 0, 0]], np.float32)
    logit = predict(give_logit(fused()), x, "rows", LOGIT)
    assert logit[0, 0] == pytest.approx(MOST_LOGIT if sure else -MOST_LOGIT)
    assert pytest.approx(np.log((1 - 1e-6) / 1e-6)) == MOST_LOGIT


def test_numpy_has_the_same_logits() -> None:
    random = np.random.default_rng(0)
    x = random.normal(0, 8, (200, 2 * CLASSES)).astype(np.float32)
    found = predict_all(give_logit(fused()), x, "rows", ("probabilities", LOGIT))
    wide = x[:, CLASSES:]
    np.testing.assert_allclose(
        found[LOGIT][:, 0], logit_q(wide, found["probabilities"].argmax(1)), atol=1e-5, rtol=1e-5
    )
    nothing = np.full((1, CLASSES), -np.inf)
    nothing[0, 1] = 0
    assert logit_q(nothing, np.array([1])) == MOST_LOGIT
    assert logit_q(nothing, np.array([0])) == -MOST_LOGIT
    assert np.isnan(logit_q(np.full((1, CLASSES), np.nan), np.array([0])))


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_it_is_plain_onnx_of_any_opset(opset: int) -> None:
    graph = give(fused(opset=opset), -0.8, 0.2)
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    check_graph(graph)
    x = np.random.default_rng(1).normal(0, 3, (50, 2 * CLASSES)).astype(np.float32)
    named = x[:, :CLASSES].argmax(1)
    np.testing.assert_allclose(predict(graph, x, "rows", OUTPUT), expected(x, named, -0.8, 0.2), atol=3e-6)


def test_a_second_fit_replaces_the_first() -> None:
    graph = fused()
    once, twice = give(graph, -0.8, 0.2), give(give(give_logit(graph), -2, 1), -0.8, 0.2)
    assert once == twice
    before, after = onnx.load_from_string(graph), onnx.load_from_string(once)
    assert list(after.graph.node)[: len(before.graph.node)] == list(before.graph.node)
    assert [value.name for value in after.graph.output] == ["score", "probabilities", OUTPUT]


@pytest.mark.parametrize("name", ["cifar10-resnet32/2/detector.onnx", "cifar10-resnet32/2/detector-int8.onnx"])
def test_shipped_graphs_of_either_precision_take_it_and_stay_what_they_were(name: str) -> None:
    graph = (ROOT / "models" / "bundles" / name).read_bytes()
    x = read_samples(load(SHIPPED_BUNDLE)).corrupted[:64]
    logits = predict(give_logit(graph), x, "rows", LOGIT)[:, 0].astype(np.float64)
    with_p = give(graph, -0.76, 0.19)
    check_graph(with_p)
    names = [value.name for value in open_session(graph).get_outputs()]
    before, after = predict_all(graph, x, "rows", names), predict_all(with_p, x, "rows", [*names, OUTPUT])
    for output in names:
        np.testing.assert_array_equal(before[output], after[output])
    np.testing.assert_allclose(after[OUTPUT], 1 / (1 + np.exp(0.76 * logits - 0.19)), atol=3e-6)
    # ln q is the score's own part: at temperature 0.1 that is nearly -ln q
    assert np.corrcoef(before["score"], -np.log(1 / (1 + np.exp(-logits))))[0, 1] > 0.9
    one = predict(with_p, x[:1], "row", OUTPUT)
    np.testing.assert_allclose(one, after[OUTPUT][:1], atol=1e-6)


def test_a_graph_without_a_second_network_is_refused() -> None:
    alone = with_entropy(part(0, "logits", 18)).SerializeToString()
    with pytest.raises(UserError, match="has no divergence from a second network.*build the bundle again"):
        give(alone, -1, 0)
