"""Classifiers with named inputs: what they take, and that the fused graph scores them by the same names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records
from harmgauge_models.graphs.classifier import Classifier, open_classifier
from harmgauge_models.graphs.fuse import fuse, with_entropy
from harmgauge_models.graphs.run import predict, predict_all
from harmgauge_models.graphs.whole_row import whole_row
from tests.support.named_classifiers import PAD, VOCABULARY, mixed, mixed_rows, token_rows, tokens


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    x, _ = mixed_rows(100)
    return open_classifier(mixed(tmp_path_factory.mktemp("mixed") / "c.onnx"), x, "classifier")


def test_columns_of_numbers_and_strings(opened: Classifier) -> None:
    assert [(taken.name, taken.dtype, taken.shape) for taken in opened.inputs] == [
        ("age", "float32", (1,)),
        ("city", "string", (1,)),
    ]
    assert opened.network.named
    assert opened.classes == 2
    x, _ = mixed_rows(5)
    assert whole_row(opened, x) == ("row", 4)


def test_the_fused_graph_keeps_the_names_and_scores_the_divergence(opened: Classifier) -> None:
    x, _ = mixed_rows(50, seed=1)
    fused = fuse(opened.network, opened.network, "kld", 1.0).SerializeToString()
    assert [node.name for node in ort.InferenceSession(fused).get_inputs()] == ["age", "city"]
    found = predict_all(fused, x, "rows", ["score", "probabilities"])
    assert np.abs(found["score"]).max() < 1e-6
    logits = predict(opened.runnable, x, "rows").astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-6)


def test_the_entropy_of_named_inputs(opened: Classifier) -> None:
    x, _ = mixed_rows(50, seed=2)
    found = predict_all(with_entropy(opened.network).SerializeToString(), x, "rows", ["score", "probabilities"])
    p = found["probabilities"].astype(np.float64)
    np.testing.assert_allclose(found["score"], -(p * np.log(p)).sum(1), atol=1e-5)


@pytest.mark.parametrize("name", ["y", "temperature", "terms", "low", "log_first"])
def test_a_column_may_be_called_like_a_tensor_of_the_divergence(tmp_path: Path, name: str) -> None:
    path = mixed(tmp_path / "c.onnx", names=(name, "city"))
    x, _ = mixed_rows(20)
    renamed = records.make_records({name: x["age"], "city": x["city"]})
    network = open_classifier(path, renamed, "classifier").network
    fused = fuse(network, network, "xent", 0.1).SerializeToString()
    usual = open_classifier(mixed(tmp_path / "d.onnx"), x, "classifier").network
    expected = predict(fuse(usual, usual, "xent", 0.1).SerializeToString(), x, "rows", "score")
    np.testing.assert_allclose(predict(fused, renamed, "rows", "score"), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["score", "probabilities", "features", "error_probability", "classifier/age"])
def test_a_column_cannot_be_called_like_an_output(tmp_path: Path, name: str) -> None:
    x, _ = mixed_rows(20)
    renamed = records.make_records({name: x["age"], "city": x["city"]})
    with pytest.raises(UserError, match=rf"input called '{name}'.*rename the input"):
        open_classifier(mixed(tmp_path / "c.onnx", names=(name, "city")), renamed, "classifier")


def test_exporters_change_the_characters_of_names(tmp_path: Path) -> None:
    path = mixed(tmp_path / "c.onnx", names=("age_in_years", "city"))
    x, _ = mixed_rows(20)
    there = records.make_records({"age-in years": x["age"], "city": x["city"], "id": np.arange(20)})
    found = open_classifier(path, there, "classifier")
    assert "age_in_years" in " ".join(found.notes)
    assert records.fields(found.fit(there, "rows")) == ("age_in_years", "city")


def test_a_missing_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    x, _ = mixed_rows(20)
    with pytest.raises(UserError, match=r"the data have no 'city'.*'town'"):
        open_classifier(
            mixed(tmp_path / "c.onnx"),
            records.make_records({"age": x["age"], "town": x["city"]}),
            "classifier",
        )


def test_one_array_for_several_inputs_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"inputs 'age', 'city', but the data have only x.*save one array for each"):
        open_classifier(mixed(tmp_path / "c.onnx"), np.zeros((5, 2), np.float32), "classifier")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"age": np.array([["old"]] * 20, object)}, r"expects numbers for 'age', which is 'old' in row 0"),
        ({"city": np.arange(20)[:, None]}, r"expects strings for 'city', but the data hold int64"),
        ({"city": np.array([["Bern"]] * 19 + [[None]], object)}, r"'city', which has no value in row 19"),
        ({"age": np.zeros((20, 2), np.float32)}, r"'age'.*expects rows of shape \(1\).*rows of shape \(2,\)"),
    ],
)
def test_values_that_do_not_fit_are_named(tmp_path: Path, changed: dict[str, np.ndarray], message: str) -> None:
    x, _ = mixed_rows(20)
    arrays = {"age": x["age"], "city": x["city"]} | changed
    with pytest.raises(UserError, match=message):
        open_classifier(mixed(tmp_path / "c.onnx"), records.make_records(arrays), "classifier")


def test_a_missing_number_is_named_if_the_classifier_takes_none(tmp_path: Path) -> None:
    x, _ = mixed_rows(20)
    x["age"][7] = np.nan
    with pytest.raises(UserError, match=r"returns NaN for row 7, whose column 'age' is NaN"):
        open_classifier(mixed(tmp_path / "c.onnx"), x, "classifier")


def test_lengths_are_free_if_padding_is_masked(tmp_path: Path) -> None:
    found = open_classifier(tokens(tmp_path / "t.onnx"), token_rows(60), "classifier")
    ids, mask = found.inputs
    assert (ids.shape, ids.pad_value, ids.vocabulary_size, ids.maximum) == ((None,), PAD, VOCABULARY, 512)
    assert (mask.shape, mask.pad_value) == ((None,), 0)
    assert whole_row(found, token_rows(4)) is None


def test_lengths_are_fixed_if_padding_changes_the_scores(tmp_path: Path) -> None:
    x = token_rows(60)
    path = tokens(tmp_path / "t.onnx", masked=False)
    found = open_classifier(path, x, "classifier")
    assert [taken.shape for taken in found.inputs] == [(12,), (12,)]
    session = ort.InferenceSession(str(path))
    expected = session.run(None, {name: np.ascontiguousarray(x[name]) for name in records.fields(x)})[0]
    np.testing.assert_allclose(predict(found.runnable, x, "rows"), expected, rtol=1e-5)


def test_rows_of_mixed_lengths_have_the_scores_of_single_rows(tmp_path: Path) -> None:
    path = tokens(tmp_path / "t.onnx")
    x = token_rows(70, width=30)
    session = ort.InferenceSession(str(path))
    lengths = records.row_lengths(x)
    assert lengths is not None
    expected = [
        session.run(None, {name: x[name][row : row + 1, : lengths[row]] for name in records.fields(x)})[0][0]
        for row in range(len(x))
    ]
    np.testing.assert_allclose(predict(path, x, "rows", batch_rows=16), np.stack(expected), rtol=1e-4, atol=1e-5)


def test_a_graph_of_several_inputs_for_one_row_at_a_time(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["a", "shape"], ["flat"]),
            helper.make_node("Concat", ["flat", "b"], ["y"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("a", "b")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "shape")],
    )
    path = tmp_path / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    x = records.make_records({name: np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32) for name in "ab"})
    with pytest.raises(UserError, match="dynamic first axis"):
        open_classifier(path, x, "classifier")
