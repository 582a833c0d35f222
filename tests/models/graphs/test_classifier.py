"""Files written by common exporters, opened: one input, (n, classes) float32, any number of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.inputs import Input
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier, open_classifier
from harmgauge_models.graphs.fuse import Network
from harmgauge_models.graphs.run import predict
from harmgauge_models.graphs.trial import try_fusing
from tests.conftest import ROOT

EXPORTS = ROOT / "tests" / "data" / "exports"
X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
TENSOR = helper.make_tensor_value_info


def saved(
    path: Path, nodes: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto], **stored: np.ndarray[Any, Any]
) -> Path:
    """A graph with the input `x` (n, 4)."""
    constants = [numpy_helper.from_array(value, name) for name, value in ({"w": WEIGHTS} | stored).items()]
    graph = helper.make_graph(nodes, "g", [TENSOR("x", TensorProto.FLOAT, ["n", 4])], outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def linear(
    path: Path, *more: onnx.NodeProto, shape: list[Any], element: int = TensorProto.FLOAT, **stored: Any
) -> Path:
    """x times the weights, `z`, then more nodes that compute `y`."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z" if more else "y"]), *more]
    return saved(path, nodes, [TENSOR("y", element, shape)], **stored)


def given(classifier: Classifier, x: np.ndarray[Any, Any] = X) -> np.ndarray[Any, Any]:
    return predict(classifier.runnable, x, "rows", classifier.network.output)


@pytest.mark.parametrize("named", [None, "probabilities"])
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("catboost", ("setosa", "versicolor", "virginica")),
        ("lightgbm", ("0", "1", "2")),
        ("xgboost", ("0", "1", "2")),
        ("xgboost-binary", ("0", "1")),
    ],
)
def test_boosting_by_its_own_exporters(name: str, labels: tuple[str, ...], named: str | None) -> None:
    """No ONNX opset declared (XGBoost, CatBoost), dictionaries of probabilities (CatBoost, LightGBM)."""
    path = EXPORTS / f"{name}.onnx"
    opened = open_classifier(path, X, "classifier", named)
    assert (opened.network.gives, opened.classes, opened.labels) == ("probabilities", len(labels), labels)
    session = ort.InferenceSession(path)
    said = session.run(["probabilities"], {session.get_inputs()[0].name: X})[0]
    expected = [list(row.values()) for row in said] if isinstance(said, list) else said
    np.testing.assert_allclose(given(opened), expected, atol=1e-6)
    try_fusing(opened, X)


def test_nodes_in_any_order_and_subgraphs_too(tmp_path: Path) -> None:
    branch = [helper.make_node("Add", ["doubled", "z"], ["out"]), helper.make_node("Add", ["z", "z"], ["doubled"])]
    body = helper.make_graph(branch, "b", [], [TENSOR("out", TensorProto.FLOAT, ["n", 3])])
    nodes = [
        helper.make_node("Identity", ["chosen"], ["y"]),
        helper.make_node("If", ["yes"], ["chosen"], then_branch=body, else_branch=body),
        helper.make_node("MatMul", ["x", "w"], ["z"]),
    ]
    path = saved(tmp_path / "c.onnx", nodes, [TENSOR("y", TensorProto.FLOAT, ["n", 3])], yes=np.array(True))
    opened = open_classifier(path, X, "classifier")
    np.testing.assert_allclose(given(opened), 3 * X @ WEIGHTS, rtol=1e-5, atol=1e-5)
    try_fusing(opened, X)


@pytest.mark.parametrize("shape", [["n"], ["n", 1], ["n", 1, 1]])
@pytest.mark.parametrize("sigmoid", [True, False])
def test_one_column_becomes_two(tmp_path: Path, shape: list[Any], sigmoid: bool) -> None:
    nodes = [helper.make_node("MatMul", ["x", "one"], ["z"]), helper.make_node("Reshape", ["z", "shape"], ["flat"])]
    nodes.append(helper.make_node("Sigmoid" if sigmoid else "Identity", ["flat"], ["y"]))
    sizes = np.array([-1, *shape[1:]], np.int64)
    path = saved(
        tmp_path / "c.onnx", nodes, [TENSOR("y", TensorProto.FLOAT, shape)], one=WEIGHTS[:, :1].copy(), shape=sizes
    )
    opened = open_classifier(path, X, "classifier")
    z = X @ WEIGHTS[:, 0]
    p = 1 / (1 + np.exp(-z))
    assert (opened.network.gives, opened.classes) == ("probabilities" if sigmoid else "logits", 2)
    expected = np.stack([1 - p, p] if sigmoid else [np.zeros_like(z), z], 1)
    np.testing.assert_allclose(given(opened), expected, atol=1e-5)
    assert "one output column" in opened.notes[0]
    told = open_classifier(path, X, "classifier", gives="logits")
    np.testing.assert_allclose(given(told)[:, 1], p if sigmoid else z, atol=1e-5)
    try_fusing(opened, X)


@pytest.mark.parametrize("shape", [[3, 1, 1], [1, 3], [3, 1]])
def test_axes_of_length_1_are_left_out(tmp_path: Path, shape: list[int]) -> None:
    reshape = helper.make_node("Reshape", ["z", "shape"], ["y"])
    path = saved(
        tmp_path / "c.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["z"]), reshape],
        [TENSOR("y", TensorProto.FLOAT, ["n", *shape])],
        shape=np.array([-1, *shape], np.int64),
    )
    np.testing.assert_allclose(given(open_classifier(path, X, "classifier")), X @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_softmax_in_8_bits_is_probabilities_divided_by_their_sum(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Softmax", ["z"], ["p"], axis=-1),
        helper.make_node("QuantizeLinear", ["p", "s", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "zero"], ["y"]),
    ]
    path = linear(
        tmp_path / "c.onnx", *nodes, shape=["n", 3], s=np.float32(1 / 256).reshape(()), zero=np.array(0, np.uint8)
    )
    raw = ort.InferenceSession(path).run(None, {"x": X})[0]
    assert np.abs(raw.sum(1) - 1).max() > 2e-3
    opened = open_classifier(path, X, "classifier")
    assert opened.network.gives == "probabilities"
    np.testing.assert_allclose(given(opened), raw / raw.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    ("operator", "gives"), [("LogSoftmax", "logits"), ("Softmax", "probabilities"), ("Tanh", "logits")]
)
def test_what_scores_are_is_found_out(tmp_path: Path, operator: str, gives: str) -> None:
    opened = open_classifier(
        linear(tmp_path / "c.onnx", helper.make_node(operator, ["z"], ["y"]), shape=["n", 3]), X, "classifier"
    )
    assert opened.network.gives == gives


@pytest.mark.parametrize("element", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_precisions_come_out_in_float32(tmp_path: Path, element: int) -> None:
    path = linear(
        tmp_path / "c.onnx", helper.make_node("Cast", ["z"], ["y"], to=element), shape=["n", 3], element=element
    )
    scores = given(open_classifier(path, X, "classifier"))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, X @ WEIGHTS, rtol=2e-3, atol=2e-3)


def test_of_probabilities_and_their_logits_the_logits_are_taken(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["b"]),
        helper.make_node("Softmax", ["b"], ["a"], axis=-1),
        helper.make_node("Identity", ["x"], ["c"]),
    ]
    outputs = [TENSOR(name, TensorProto.FLOAT, ["n", size]) for name, size in (("c", 4), ("a", 3), ("b", 3))]
    assert open_classifier(saved(tmp_path / "c.onnx", nodes, outputs), X, "classifier").network.output == "b"


REFUSED: dict[str, tuple[list[onnx.NodeProto], int, list[Any]]] = {
    "multi-label": ([helper.make_node("Sigmoid", ["z"], ["y"])], TensorProto.FLOAT, ["n", 3]),
    "outputs only a label: export the class scores, .*--classifier-output z": (
        [helper.make_node("ArgMax", ["z"], ["y"], axis=1, keepdims=0)],
        TensorProto.INT64,
        ["n"],
    ),
    "outputs only a label": (
        [
            helper.make_node("ArgMax", ["z"], ["index"], axis=1, keepdims=0),
            helper.make_node("Cast", ["index"], ["y"], to=TensorProto.FLOAT),
        ],
        TensorProto.FLOAT,
        ["n"],
    ),
    "expected \\(n, classes\\)": (
        [helper.make_node("Unsqueeze", ["z", "axis"], ["u"]), helper.make_node("Concat", ["u", "u"], ["y"], axis=1)],
        TensorProto.FLOAT,
        ["n", 2, 3],
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_distribution_is_refused_with_the_reason(tmp_path: Path, message: str) -> None:
    nodes, element, shape = REFUSED[message]
    path = linear(tmp_path / "c.onnx", *nodes, shape=shape, element=element, axis=np.array([1], np.int64))
    with pytest.raises(UserError, match=message):
        open_classifier(path, X, "classifier")


def test_the_scores_that_a_label_was_made_of_can_be_named(tmp_path: Path) -> None:
    node = helper.make_node("ArgMax", ["z"], ["y"], axis=1, keepdims=0)
    path = linear(tmp_path / "c.onnx", node, shape=["n"], element=TensorProto.INT64)
    np.testing.assert_allclose(given(open_classifier(path, X, "classifier", "z")), X @ WEIGHTS, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="--classifier-output zz: .* no such output; its outputs are y"):
        open_classifier(path, X, "classifier", "zz")


def test_sigmoids_can_be_told_to_exclude_each_other(tmp_path: Path) -> None:
    path = linear(tmp_path / "c.onnx", helper.make_node("Sigmoid", ["z"], ["y"]), shape=["n", 3])
    told = given(open_classifier(path, X, "classifier", gives="probabilities"))
    np.testing.assert_allclose(told.sum(1), 1, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # from the exporter
def test_scores_of_pairs_of_classes_are_refused(tmp_path: Path) -> None:
    """Three classes have three pairs, so the shape cannot show it."""
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.svm import SVC

    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    for shape in ("ovo", "ovr"):
        exported = to_onnx(SVC(decision_function_shape=shape).fit(x, y), x[:1], target_opset=18)
        (tmp_path / f"{shape}.onnx").write_bytes(exported.SerializeToString())
    with pytest.raises(UserError, match="one-vs-one decision values"):
        open_classifier(tmp_path / "ovo.onnx", x, "classifier")
    assert open_classifier(tmp_path / "ovr.onnx", x, "classifier").network.gives == "logits"


def test_a_missing_value_that_the_classifier_does_not_take_is_named(tmp_path: Path) -> None:
    path = linear(tmp_path / "c.onnx", shape=["n", 3])
    x = X.copy()
    x[7, 2] = np.nan
    with pytest.raises(UserError, match="does not accept missing values.*row 7, whose column 2 is NaN"):
        open_classifier(path, x, "classifier")
    x[7, 2] = np.inf
    with pytest.raises(UserError, match="NaN or infinity for the data, the first for row 7"):
        open_classifier(path, x, "classifier")


def test_a_graph_for_one_row_runs_rows_one_by_one(tmp_path: Path) -> None:
    reshape = helper.make_node("Reshape", ["z", "one_row"], ["y"])
    path = linear(tmp_path / "c.onnx", reshape, shape=[1, 3], one_row=np.array([1, 3], np.int64))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, path)
    opened = open_classifier(path, X, "classifier")
    assert "one row at a time" in opened.notes[0]
    np.testing.assert_allclose(given(opened), X @ WEIGHTS, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(given(opened, X[:1]), X[:1] @ WEIGHTS, rtol=1e-5, atol=1e-5)
    try_fusing(opened, X)


def test_rows_that_would_change_each_other_run_one_by_one(tmp_path: Path) -> None:
    """With a dynamic axis, the graph would accept any number of rows but score them differently than each row alone."""
    nodes = [
        helper.make_node("ReduceMean", ["z"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Add", ["z", "mean"], ["y"]),
    ]
    path = linear(tmp_path / "c.onnx", *nodes, shape=[1, 3])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, path)
    np.testing.assert_allclose(given(open_classifier(path, X, "classifier")), 2 * X @ WEIGHTS, rtol=1e-5, atol=1e-5)


def test_a_graph_for_several_rows_at_a_time_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In one line, without ONNX Runtime's own messages on the terminal."""
    reshape = helper.make_node("Reshape", ["z", "rows"], ["y"])
    path = linear(tmp_path / "c.onnx", reshape, shape=[8, 3], rows=np.array([8, 3], np.int64))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    onnx.save(model, path)
    with pytest.raises(UserError, match="for 8 rows at a time.*dynamic first axis") as refused:
        open_classifier(path, X, "classifier")
    assert "\n" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_what_the_service_would_refuse_is_refused_before_the_training(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Pad", ["z", "pads"], ["wide"])]
    nodes.append(helper.make_node("Slice", ["wide", "from", "to", "axis"], ["y"]))
    stored = {"pads": np.array([0, 0, 0, 2**29]), "from": np.array([0]), "to": np.array([3]), "axis": np.array([1])}
    path = saved(tmp_path / "c.onnx", nodes, [TENSOR("y", TensorProto.FLOAT, ["n", 3])], **stored)
    taken = Input(name="x", dtype="float32", shape=(4,))
    opened = Classifier(path, path, Network(onnx.load(path), ("x",), "y", "logits"), (taken,), 3)
    with pytest.raises(UserError, match="the service would reject the classifier .*c.onnx"):
        try_fusing(opened, X)
