"""The chosen disturber makes nothing that the classifier cannot run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data.columns import find_columns
from harmgauge_models.data.disturber import Disturber, PictureDisturber
from harmgauge_models.data.disturbers import disturber_for
from harmgauge_models.data.pictures import input_spec, pictures
from harmgauge_models.graphs.classifier import Classifier, open_classifier
from harmgauge_models.graphs.run import predict
from tests.models.data.row_corruptions.rows import tokens
from tests.support.toy import instances, linear_network, table_network, with_gaps

SIZES = (3, 12, 40)


def embeddings(path: Path, dtype: str, *, sizes: tuple[int, ...], numbers: int = 0) -> Path:
    """A classifier with a table of `sizes` vectors for each of the first columns, and real `numbers` after them."""
    random = np.random.default_rng(0)
    width = len(sizes) + numbers
    stored = {"numbers": np.arange(len(sizes), width), "w": random.normal(size=(len(sizes) * 2 + numbers, 3))}
    nodes = []
    for index, size in enumerate(sizes):
        stored |= {f"t{index}": random.normal(size=(size, 2)), f"i{index}": np.array(index)}
        nodes += [
            helper.make_node("Gather", ["x", f"i{index}"], [f"raw{index}"], axis=1),
            helper.make_node("Cast", [f"raw{index}"], [f"id{index}"], to=TensorProto.INT64),
            helper.make_node("Gather", [f"t{index}", f"id{index}"], [f"v{index}"]),
        ]
    parts = [f"v{index}" for index in range(len(sizes))]
    if numbers:
        nodes.append(helper.make_node("Gather", ["x", "numbers"], ["real"], axis=1))
        nodes.append(helper.make_node("Cast", ["real"], ["others"], to=TensorProto.FLOAT))
        parts.append("others")
    nodes.append(helper.make_node("Concat", parts, ["wide"], axis=1))
    nodes.append(helper.make_node("MatMul", ["wide", "w"], ["y"]))
    kept = [
        numpy_helper.from_array(array if array.dtype.kind == "i" else array.astype(np.float32), name)
        for name, array in stored.items()
        if name != "numbers" or numbers
    ]
    graph = helper.make_graph(
        nodes,
        "embeddings",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        kept,
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    return path


def chosen(classifier: Classifier, x: Array, *, missing: bool = False) -> Disturber:
    spec = input_spec(x, classifier.dtype).model_copy(update={"missing": missing})
    return disturber_for(classifier.runnable, classifier.network.output, spec, x, find_columns(x))


def codes(rows: int = 600) -> Array:
    random = np.random.default_rng(1)
    return np.stack([random.integers(0, size, rows) for size in SIZES], 1)


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32"])
def test_codes_that_each_have_a_table_of_their_own(dtype: str, tmp_path: Path) -> None:
    x = codes().astype(dtype)
    classifier = open_classifier(embeddings(tmp_path / "c.onnx", dtype, sizes=SIZES), x, "classifier")
    made, _ = chosen(classifier, x)(np.tile(x, (5, 1)), np.random.default_rng(0))
    predict(classifier.runnable, made, "disturbed rows", classifier.network.output)
    assert (made.min(0) >= x.min(0)).all()
    assert (made.max(0) <= x.max(0)).all()


def test_numbers_beside_codes_may_still_be_any(tmp_path: Path) -> None:
    x = np.concatenate([codes(), np.random.default_rng(2).normal(size=(600, 2))], 1).astype(np.float32)
    classifier = open_classifier(embeddings(tmp_path / "c.onnx", "float32", sizes=SIZES, numbers=2), x, "classifier")
    made, _ = chosen(classifier, x)(np.tile(x, (5, 1)), np.random.default_rng(0))
    predict(classifier.runnable, made, "disturbed rows", classifier.network.output)
    assert (made[:, :3].max(0) <= x[:, :3].max(0)).all()
    assert (np.abs(made[:, 3:]).max(0) > 3 * np.abs(x[:, 3:]).max(0)).all()


def test_words_of_one_table_stay_within_the_vocabulary(tmp_path: Path) -> None:
    """Columns that share a table: any id may occur in any column."""
    x = tokens()
    path = embeddings(tmp_path / "c.onnx", "int64", sizes=(int(x.max()) + 1,) * x.shape[1])
    classifier = open_classifier(path, x, "classifier")
    made, _ = chosen(classifier, x)(x, np.random.default_rng(0))
    predict(classifier.runnable, made, "disturbed rows", classifier.network.output)
    assert (made.max(0) > x.max(0)).any()


def test_numbers_that_name_nothing_may_be_any(tmp_path: Path) -> None:
    x = codes().astype(np.int32)
    classifier = open_classifier(linear_network(tmp_path / "c.onnx", (3,), 3, 1, dtype="int32"), x, "classifier")
    made, _ = chosen(classifier, x)(x, np.random.default_rng(0))
    assert made.max() > x.max()
    assert made.min() >= 0


def test_pictures_are_disturbed_as_pictures(tmp_path: Path) -> None:
    x = instances(100, (8, 8, 3))
    classifier = open_classifier(linear_network(tmp_path / "c.onnx", (8, 8, 3), 3, 1), x, "classifier")
    disturb = chosen(classifier, x)
    assert isinstance(disturb, PictureDisturber)
    made, tags = disturb(x, np.random.default_rng(0))
    assert (made.dtype, made.shape) == (x.dtype, x.shape)
    assert (made != x).any((1, 2, 3)).mean() > 0.9
    assert (tags == [0, -1]).all()


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kind", PictureDisturber.kinds)
def test_a_kind_alone_disturbs_pictures_the_more_the_stronger_it_is(kind: str, dtype: str) -> None:
    """The mean distance grows with the strength, and all results are pictures."""
    # Smooth pictures, because blurring pure noise leaves nothing
    ramp = np.linspace(40, 200, 12)[:, None, None] + np.linspace(-30, 40, 12)[:, None] + np.array([0, 10, -10])
    x = (np.stack([np.roll(ramp, index, 0) for index in range(12)]) / (1 if dtype == "uint8" else 255)).astype(dtype)
    disturb = chosen_for_pictures(x)
    apart = []
    for strength in (0.1, 1.0):
        made = disturb.alone(x, np.random.default_rng(0), kind, strength)
        np.testing.assert_array_equal(made, disturb.alone(x, np.random.default_rng(0), kind, strength))
        assert (made.dtype, made.shape) == (x.dtype, x.shape)
        assert made.min() >= 0
        assert made.max() <= (255 if dtype == "uint8" else 1)
        apart.append(np.abs(made.astype(np.float64) - x).mean())
    assert apart[1] > apart[0] or kind == "coarsen", "which moves pixels by a part of one, in grids that chance lays"
    assert apart[1] > 0


def chosen_for_pictures(x: Array) -> PictureDisturber:
    spec = input_spec(x, "uint8" if x.dtype == np.uint8 else "float32")
    return PictureDisturber(pictures(x, spec, "HWC"))


@pytest.mark.parametrize("missing", [False, True])
def test_missing_values_come_only_where_the_input_has_some(missing: bool, tmp_path: Path) -> None:
    x = instances(300, (14,), "float32")
    x = with_gaps(x) if missing else x
    classifier = open_classifier(table_network(tmp_path / "c.onnx", 14, 3, 1), x, "classifier")
    spec: InputSpec = input_spec(x, "float32").model_copy(update={"missing": missing})
    made, _ = disturber_for(classifier.runnable, classifier.network.output, spec, x, find_columns(x))(
        x, np.random.default_rng(0)
    )
    assert np.isnan(made).any() == missing
