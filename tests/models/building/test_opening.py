"""Bundles from realistic data: missing values, labels that are names, and rows of zeros without a meaning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array
from harmgauge.inference.isolated_probe import BundleLoader
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.settings import Settings
from harmgauge_models.building.build import build
from harmgauge_models.errors import UserError
from harmgauge_models.options import Options
from tests.conftest import ROOT

EXPORTS = ROOT / "tests" / "data" / "exports"
NAMES = np.array(["setosa", "versicolor", "virginica"])


def iris() -> tuple[Array, Array]:
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    return x.astype(np.float32), y


def options(folder: Path, classifier: Path, **more: object) -> Options:
    return Options(
        classifier=classifier,
        calibration=folder / "calibration.npz",
        train=folder / "train.npz",
        name="b",
        out=folder,
        window_rows=100,
        epochs=2,
        keep=True,
        say=lambda _: None,
        **more,  # type: ignore[arg-type]  # passed on as given
    )


def test_boosting_with_missing_values_and_named_labels(tmp_path: Path) -> None:
    """CatBoost's own file: no declared opsets, dictionaries as output, named classes; trees accept NaN."""
    x, y = iris()
    x[::7, 2] = np.nan
    for name in ("train", "calibration"):
        np.savez(tmp_path / f"{name}.npz", x=x, y=NAMES[y])
    bundle = load(build(options(tmp_path, EXPORTS / "catboost.onnx", second="student")))
    assert bundle.manifest.input.missing
    assert bundle.manifest.class_names == tuple(NAMES)
    assert bundle.manifest.quality["classifier_accuracy"] > 0.8
    assert np.isfinite(OnnxRuntime(bundle, "cpu").run(x).score).all()
    assert bundle.reference.probe is None, "zeros will do"


def test_missing_values_in_training_rows_alone_are_looked_at_before_the_training(tmp_path: Path) -> None:
    x, y = iris()
    np.savez(tmp_path / "calibration.npz", x=x, y=y)
    x[5, 1] = np.nan
    np.savez(tmp_path / "train.npz", x=x)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.eye(4, 3, dtype=np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "c.onnx")
    with pytest.raises(UserError, match=r"row 5 of train\.npz, whose column 1 is NaN"):
        build(options(tmp_path, tmp_path / "c.onnx"))


@pytest.mark.parametrize("role", ["train", "calibration"])
def test_infinity_is_refused(tmp_path: Path, role: str) -> None:
    x, _ = iris()
    for name in ("train", "calibration"):
        np.savez(tmp_path / f"{name}.npz", x=x)
    x[3, 0] = np.inf
    np.savez(tmp_path / f"{role}.npz", x=x)
    with pytest.raises(UserError, match="1 .* rows hold infinity, the first in row 3"):
        build(options(tmp_path, EXPORTS / "xgboost.onnx"))


def test_labels_out_of_range_are_refused_before_the_training(tmp_path: Path) -> None:
    x, y = iris()
    np.savez(tmp_path / "train.npz", x=x)
    np.savez(tmp_path / "calibration.npz", x=x, y=y + 1)
    with pytest.raises(UserError, match="y has values from 1 to 3; expected 0 to 2.*save y - 1"):
        build(options(tmp_path, EXPORTS / "xgboost.onnx"))


def bag_of_tokens(path: Path) -> Path:
    """The mean over the tokens that are not 0, which is undefined for a row of zeros."""
    random = np.random.default_rng(0)
    stored: dict[str, Array] = {
        "table": random.normal(size=(50, 8)).astype(np.float32),
        "w": random.normal(size=(8, 2)).astype(np.float32),
        "zero": np.array(0, np.int64),
        "last": np.array([2], np.int64),
        "second": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Equal", ["x", "zero"], ["padding"]),
        helper.make_node("Not", ["padding"], ["there"]),
        helper.make_node("Cast", ["there"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Gather", ["table", "x"], ["vectors"]),
        helper.make_node("Mul", ["vectors", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "second"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "second"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("MatMul", ["mean", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_graph_that_makes_nothing_of_zeros_brings_a_row_to_try_it_on(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(1, 50, (200, 6))
    for name in ("train", "calibration"):
        np.savez(tmp_path / f"{name}.npz", x=x)
    folder = build(options(tmp_path, bag_of_tokens(tmp_path / "c.onnx"), second="student"))
    bundle = load(folder)
    assert isinstance(bundle.reference.probe, np.ndarray)
    runtime = OnnxRuntime(bundle, "cpu")
    np.testing.assert_array_equal(runtime.probe(3), np.tile(bundle.reference.probe, (3, 1)))
    assert np.isfinite(runtime.run(runtime.probe(3)).score).all()
    assert not (x == bundle.reference.probe).all(1).any(), "no row of anybody's own"
    assert BundleLoader(Settings(bundle=folder)).load(folder).sha256 == bundle.sha256, "tried in another process too"
