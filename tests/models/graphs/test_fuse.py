"""The fused graph compared with both networks run separately and the formulas in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from harmgauge_models.graphs.divergence import Gives, Loss, divergence_text
from harmgauge_models.graphs.fuse import Network, fuse, read
from harmgauge_models.graphs.run import open_session, predict
from tests.support.formulas import formula, softmax
from tests.support.toy import instances, linear_network

TOLERANCE = 2e-5


def divergence(
    first: npt.NDArray[Any], second: npt.NDArray[Any], gives: tuple[Gives, Gives], loss: Loss, temperature: float
) -> npt.NDArray[np.float32]:
    """Only the divergence part of the graph, on given outputs."""
    model = onnx.parser.parse_model(divergence_text(*gives, loss, temperature, 18))
    outputs = open_session(model.SerializeToString()).run(["score"], {"first": first, "second": second})
    score: npt.NDArray[np.float32] = outputs[0]
    return score


@pytest.mark.parametrize("loss", ["kld", "xent"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("classes", [2, 1000])
@pytest.mark.parametrize(("first", "second"), [(False, False), (True, False), (False, True), (True, True)])
def test_agrees_with_the_networks_run_apart(
    tmp_path: Path, loss: Loss, temperature: float, classes: int, first: bool, second: bool
) -> None:
    shape = (6, 6, 3)
    networks = []
    for seed, softmaxed in ((1, first), (2, second)):
        path = linear_network(tmp_path / f"{seed}.onnx", shape, classes, seed, softmax=softmaxed, scale=0.05)
        networks.append((path, softmaxed))
    gives: list[Gives] = ["probabilities" if softmaxed else "logits" for _, softmaxed in networks]
    classifier, other = (
        Network(onnx.load(path), ("x",), "y", give) for (path, _), give in zip(networks, gives, strict=True)
    )
    fused = fuse(classifier, other, loss, temperature)
    session = open_session(fused.SerializeToString())
    for rows in (1, 3, 64):
        x = instances(rows, shape, seed=rows)
        distributions = []
        for path, softmaxed in networks:
            outputs = predict(path, x, "apart").astype(np.float64)
            distributions.append(outputs if softmaxed else softmax(outputs))
        score, probabilities = session.run(["score", "probabilities"], {"input": x})
        assert score.dtype == np.float32
        np.testing.assert_allclose(
            score, formula(distributions[0], distributions[1], loss, temperature), rtol=0, atol=TOLERANCE
        )
        np.testing.assert_allclose(probabilities, distributions[0], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 2.0, 10.0, 20.0])
@pytest.mark.parametrize("classes", [2, 1000])
def test_one_hot_outputs(classes: int, temperature: float) -> None:
    first = np.eye(classes, dtype=np.float32)[[0, 0, 1]]
    second = np.eye(classes, dtype=np.float32)[[0, 1, 0]]
    both: tuple[Gives, Gives] = ("probabilities", "probabilities")
    losses: tuple[Loss, Loss] = ("kld", "xent")
    for loss in losses:
        expected = formula(first.astype(np.float64), second.astype(np.float64), loss, temperature)
        np.testing.assert_allclose(divergence(first, second, both, loss, temperature), expected, atol=TOLERANCE)
    disagreement = divergence(first, second, both, "kld", temperature)[1]
    assert disagreement == pytest.approx(16.118, abs=1e-3), "the published figure"


def test_a_cold_temperature_and_many_flat_classes_do_not_underflow() -> None:
    """y ** (1 / 0.05) of 1000 flat classes is 1e-60: 0 / 0 in float32, unless it is computed from logarithms."""
    first = np.full((1, 1000), 1e-3, np.float32)
    second = softmax(np.random.default_rng(0).normal(size=(1, 1000))).astype(np.float32)
    score = divergence(first, second, ("probabilities", "probabilities"), "kld", 0.05)
    expected = formula(first.astype(np.float64), second.astype(np.float64), "kld", 0.05)
    np.testing.assert_allclose(score, expected, atol=TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 40),
    spread=st.floats(0, 60),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    loss=st.sampled_from(["kld", "xent"]),
)
def test_any_logits_give_a_finite_score_as_by_the_formula(
    seed: int, classes: int, spread: float, temperature: float, loss: Literal["kld", "xent"]
) -> None:
    random = np.random.default_rng(seed)
    first, second = (random.normal(0, spread, (8, classes)).astype(np.float32) for _ in range(2))
    score = divergence(first, second, ("logits", "logits"), loss, temperature)
    wide = [softmax(logits.astype(np.float64)) for logits in (first, second)]
    np.testing.assert_allclose(score, formula(wide[0], wide[1], loss, temperature), atol=TOLERANCE)


def test_networks_of_different_opsets_and_fixed_batch_sizes_are_joined(tmp_path: Path) -> None:
    old = onnx.load(linear_network(tmp_path / "old.onnx", (4, 4, 3), 3, 1, opset=11))
    old.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    old.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    new = onnx.load(linear_network(tmp_path / "new.onnx", (4, 4, 3), 3, 2, opset=21))
    fused = fuse(Network(old, ("x",), "y", "logits"), Network(new, ("x",), "y", "logits"), "kld", 1.0)
    score = open_session(fused.SerializeToString()).run(["score"], {"input": instances(5, (4, 4, 3))})[0]
    assert score.shape == (5,)


def test_equal_networks_give_no_divergence(tmp_path: Path) -> None:
    model = onnx.load(linear_network(tmp_path / "same.onnx", (4, 4, 3), 3, 1))
    network = Network(model, ("x",), "y", "logits")
    fused = fuse(network, network, "kld", 1.0)
    score = open_session(fused.SerializeToString()).run(["score"], {"input": instances(50, (4, 4, 3))})[0]
    np.testing.assert_allclose(score, 0, atol=1e-6)


def test_names_that_clash_do_not_meet(tmp_path: Path) -> None:
    """Both networks use the same names, and one names its output `score`."""
    node = helper.make_node("Cast", ["input"], ["score"], to=TensorProto.FLOAT)
    graph = helper.make_graph(
        [node],
        "clash",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    network = Network(model, ("input",), "score", "logits")
    session = open_session(fuse(network, network, "xent", 1.0).SerializeToString())
    assert [value.name for value in session.get_inputs()] == ["input"]
    assert [value.name for value in session.get_outputs()] == ["score", "probabilities"]


def test_functions_of_a_classifiers_own_are_put_in_their_places(tmp_path: Path) -> None:
    """Exporters leave functions in the file; the service rejects them."""
    path = linear_network(tmp_path / "network.onnx", (4, 4, 3), 3, 1)
    plain = onnx.load(path)
    model = onnx.load(path)
    product = next(node for node in model.graph.node if node.op_type == "MatMul")
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    model.functions.append(helper.make_function("own", "Dense", ["a", "b"], ["c"], body, [helper.make_opsetid("", 18)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    product.op_type, product.domain = "Dense", "own"
    onnx.save_model(model, str(path))
    found = read(path)
    assert not found.functions
    assert [node.op_type for node in found.graph.node] == [node.op_type for node in plain.graph.node]
    x = instances(5, (4, 4, 3))
    feeds = {"x": x}
    ours, theirs = (open_session(one.SerializeToString()).run(None, feeds)[0] for one in (found, plain))
    np.testing.assert_array_equal(ours, theirs)
