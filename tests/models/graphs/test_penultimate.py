"""Features of classifiers from several frameworks: found, named, left out, and rejected with a remedy."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.rows import Array
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import penultimate
from harmgauge_models.graphs.classifier import open_classifier
from harmgauge_models.networks.classifiers import ResNet32
from harmgauge_models.networks.export import to_onnx
from harmgauge_models.options import Options
from tests.support.toy import instances, linear_network


def built(folder: Path, classifier: Path, x: Array, **changes: Any) -> tuple[Bundle, list[str]]:
    said: list[str] = []
    np.savez(folder / "calibration.npz", x=x)
    opened = open_classifier(classifier, x, "classifier")
    scale = float(5 / np.abs(x.astype(np.float64)).max())
    second = linear_network(folder / "second.onnx", opened.shape, opened.classes, 9, dtype=opened.dtype, scale=scale)
    options = Options(
        classifier=classifier,
        distilled=second,
        calibration=folder / "calibration.npz",
        name="toy",
        out=folder / "bundles",
        window_rows=100,
        keep=True,
        say=said.append,
    )
    return load(build(dataclasses.replace(options, **changes))), said


@pytest.mark.filterwarnings("ignore")  # from the exporter
def test_those_of_the_resnet_are_what_its_head_takes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResNet32(blocks_per_stage=1).eval()
    x = instances(150, (32, 32, 3))
    taken: list[torch.Tensor] = []
    network.head.register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    with torch.no_grad():
        network(torch.from_numpy(x))
    classifier = to_onnx(network, torch.from_numpy(x[:2]), tmp_path / "classifier.onnx")
    bundle, _ = built(tmp_path, classifier, x)
    assert bundle.manifest.features is not None
    assert bundle.manifest.features.width == 64
    found = OnnxRuntime(bundle, "cpu").run(x).features
    assert found is not None
    np.testing.assert_allclose(found, taken[0].numpy(), atol=1e-4)
    assert bundle.reference.features is not None
    np.testing.assert_allclose(bundle.reference.features, found, atol=1e-5)
    assert bundle.reference.embedding is not None


def test_those_of_a_scikit_learn_perceptron_are_its_last_hidden_layer(tmp_path: Path) -> None:
    import skl2onnx

    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((20, 7), max_iter=30, random_state=0, tol=1))
    pipeline.fit(x, y)
    classifier = tmp_path / "perceptron.onnx"
    exported = skl2onnx.to_onnx(pipeline, x[:1], options={"zipmap": False}, target_opset=18)
    classifier.write_bytes(exported.SerializeToString())
    bundle, _ = built(tmp_path, classifier, x)
    perceptron = pipeline[-1]
    hidden = pipeline[:-1].transform(x)
    for weights, bias in zip(perceptron.coefs_[:-1], perceptron.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ weights + bias, 0)
    found = OnnxRuntime(bundle, "cpu").run(x).features
    assert found is not None
    np.testing.assert_allclose(found, hidden, atol=1e-3)


def test_a_forest_has_none_unless_named(tmp_path: Path) -> None:
    import skl2onnx

    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    forest = RandomForestClassifier(5, random_state=0).fit(x, y)
    classifier = tmp_path / "forest.onnx"
    exported = skl2onnx.to_onnx(forest, x[:1], options={"zipmap": False}, target_opset=18)
    classifier.write_bytes(exported.SerializeToString())
    bundle, said = built(tmp_path, classifier, x)
    assert bundle.manifest.features is None
    assert bundle.reference.features is None
    assert "no last linear layer; name a tensor for feature_mmd with --features NAME" in "".join(said)
    named, _ = built(tmp_path, classifier, x, features=exported.graph.input[0].name)
    assert named.manifest.features is not None
    np.testing.assert_array_equal(OnnxRuntime(named, "cpu").run(x[:9]).features, x[:9])


def attention(path: Path) -> Path:
    """x (n, 6) to 3 classes by the product of two tensors that depend on the input, which is not a layer."""
    random = np.random.default_rng(0)
    weights = {"first": random.normal(size=(6, 9)), "last": random.normal(size=(3, 3))}
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["keys"]),
        helper.make_node("Reshape", ["keys", "square"], ["squares"]),
        helper.make_node("MatMul", ["squares", "squares"], ["product"]),
        helper.make_node("ReduceMean", ["product"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("Transpose", ["last"], ["turned"]),
        helper.make_node("MatMul", ["pooled", "turned"], ["y"]),
    ]
    initializers = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()]
    initializers.append(numpy_helper.from_array(np.array([-1, 3, 3]), "square"))
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(path))
    return path


def test_weights_may_be_computed_and_products_of_data_are_no_layer(tmp_path: Path) -> None:
    x = instances(200, (6,), "float32")
    network = open_classifier(attention(tmp_path / "attention.onnx"), x, "classifier").network
    assert penultimate.penultimate(network) == "pooled"


def test_a_wider_tensor_is_flattened(tmp_path: Path) -> None:
    x = instances(200, (6,), "float32")
    bundle, _ = built(tmp_path, attention(tmp_path / "attention.onnx"), x, features="product")
    assert bundle.manifest.features is not None
    assert bundle.manifest.features.width == 9


def test_what_cannot_be_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = instances(200, (4, 4, 3))
    classifier = linear_network(tmp_path / "classifier.onnx", (4, 4, 3), 3, 1, scale=0.02)
    with pytest.raises(UserError, match="--features nothing: the classifier has no such tensor"):
        built(tmp_path, classifier, x, features="nothing")
    monkeypatch.setattr(penultimate, "MAX_WIDTH", 47)
    with pytest.raises(UserError, match="48 numbers per row, more than 47: name the tensor"):
        built(tmp_path, classifier, x)
    left_out, _ = built(tmp_path, classifier, x, features="none")
    assert left_out.manifest.features is None


def test_constant_features_have_no_picture(tmp_path: Path) -> None:
    x = instances(200, (4, 4, 3))
    bundle, _ = built(tmp_path, linear_network(tmp_path / "classifier.onnx", (4, 4, 3), 3, 1, scale=0.02), x)
    said: list[str] = []
    constant, scores = np.repeat(x[:1], 200, axis=0), bundle.reference.scores
    found = penultimate.reference(bundle.graph, scores, constant, tensor="flat", seed=0, say=said.append)
    assert "no picture of the features" in "".join(said)
    assert found.features is not None
    assert found.embedding is None
