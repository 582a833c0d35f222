"""The classifier behind an autoencoder in one graph, compared with its parts run separately and the formulas in
float64.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import open_classifier
from harmgauge_models.graphs.fuse import Network, fuse
from harmgauge_models.graphs.fuse_autoencoder import behind, finish
from harmgauge_models.graphs.hidden_layers import HiddenLayer
from harmgauge_models.graphs.run import open_session, predict
from tests.support.formulas import formula, softmax
from tests.support.toy import instances, linear_autoencoder, linear_network

SHAPE = (4, 4, 3)


def parts(tmp_path: Path, dtype: str = "uint8", *, softmaxed: bool = False) -> tuple[Network, onnx.ModelProto, Array]:
    scale = 0.03 if dtype == "uint8" else 1.0
    x = instances(40, SHAPE, dtype)
    path = linear_network(tmp_path / "classifier.onnx", SHAPE, 3, 1, dtype=dtype, scale=scale, softmax=softmaxed)
    network = open_classifier(path, x, "classifier").network
    autoencoder = onnx.load(linear_autoencoder(tmp_path / "autoencoder.onnx", SHAPE, 2, dtype=dtype))
    return network, autoencoder, x


def logits_of(network: Network, x: Array) -> Array:
    """The logits of the linear classifier, computed here."""
    weights = numpy_helper.to_array(network.model.graph.initializer[0]).astype(np.float64)
    return np.asarray(x.reshape(len(x), -1).astype(np.float64) @ weights)


@pytest.mark.parametrize("softmaxed", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_agrees_with_the_parts_run_apart(tmp_path: Path, dtype: str, softmaxed: bool) -> None:
    classifier, autoencoder, x = parts(tmp_path, dtype, softmaxed=softmaxed)
    reconstruction = predict(autoencoder.SerializeToString(), x, "apart")
    assert (reconstruction != np.rint(reconstruction)).any(), "it keeps its fractions"
    y, corrected = (softmax(logits_of(classifier, rows)) for rows in (x, reconstruction))
    fused = finish(fuse(classifier, behind(classifier, autoencoder, dtype), "kld", 0.5), [])  # type: ignore[arg-type]  # a text for the Literal
    onnx.checker.check_model(fused, full_check=True)
    found = open_session(fused.SerializeToString()).run(
        ["score", "probabilities", "corrected_probabilities"], {"input": x}
    )
    assert [output.dtype for output in found] == [np.float32] * 3
    np.testing.assert_allclose(found[0], formula(y, corrected, "kld", 0.5), atol=1e-3, rtol=1e-3)
    np.testing.assert_allclose(found[1], y, atol=1e-4)
    np.testing.assert_allclose(found[2], corrected, atol=1e-4)


def test_hidden_layers_add_their_weighted_divergences(tmp_path: Path) -> None:
    classifier, autoencoder, x = parts(tmp_path)
    random = np.random.default_rng(5)
    projections = [random.normal(0, 0.01, (48, 4)).astype(np.float32), random.normal(0, 0.3, (3, 5)).astype(np.float32)]
    layers = [HiddenLayer("flat", 0.5, projections[0]), HiddenLayer("y", 2.0, projections[1])]
    second = behind(classifier, autoencoder, "uint8")
    plain = finish(fuse(classifier, second, "kld", 0.5), [])
    whole = finish(fuse(classifier, second, "kld", 0.5), layers)
    onnx.checker.check_model(whole, full_check=True)
    scores = [open_session(model.SerializeToString()).run(["score"], {"input": x})[0] for model in (plain, whole)]
    reconstruction = predict(autoencoder.SerializeToString(), x, "apart")
    expected = scores[0].astype(np.float64)
    for layer, values in zip(
        layers,
        [
            [rows.reshape(len(rows), -1).astype(np.float64) for rows in (x, reconstruction)],
            [logits_of(classifier, rows) for rows in (x, reconstruction)],
        ],
        strict=True,
    ):
        before, after = (softmax(value @ layer.projection) for value in values)
        expected += layer.weight * formula(before, after, "kld", 1.0)
    assert (expected > scores[0] + 1e-3).any()
    np.testing.assert_allclose(scores[1], expected, atol=1e-3, rtol=1e-3)


def test_the_classifiers_weights_are_in_the_graph_once(tmp_path: Path) -> None:
    classifier, autoencoder, _ = parts(tmp_path)
    fused = finish(fuse(classifier, behind(classifier, autoencoder, "uint8"), "kld", 1.0), [])
    matrices = [tuple(tensor.dims) for tensor in fused.graph.initializer if len(tensor.dims) == 2]
    assert sorted(matrices) == [(48, 3), (48, 48)]


def test_a_classifier_of_whole_numbers_that_begins_with_no_cast_is_refused(tmp_path: Path) -> None:
    _, autoencoder, _ = parts(tmp_path)
    table = numpy_helper.from_array(np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32), "table")
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "x"], ["looked_up"]),
            helper.make_node("ReduceMean", ["looked_up", "axes"], ["y"], keepdims=0),
        ],
        "looks_up",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", *SHAPE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [table, numpy_helper.from_array(np.array([1, 2, 3]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(UserError, match="does not begin with a Cast to real numbers"):
        behind(Network(model, ("x",), "y", "logits"), autoencoder, "uint8")
