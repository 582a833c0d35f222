"""The kind of second network that `build` makes, and that a bundle with a head on the classifier is complete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from harmgauge.bundle.load import load
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import distribution, open_classifier
from harmgauge_models.graphs.feature_maps import find_feature_maps, why_none
from harmgauge_models.graphs.run import predict
from harmgauge_models.networks.writer import Writer
from harmgauge_models.options import Options, Second
from tests.support.convolutional import convolutional_network
from tests.support.few_rows import few_copies
from tests.support.toy import instances, linear_network


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return options_in(tmp_path)


def options_in(folder: Path) -> Options:
    x = instances(300, (13, 13, 3))
    for name in ("train", "calibration"):
        np.savez(folder / f"{name}.npz", x=x)
    return Options(
        classifier=convolutional_network(folder / "classifier.onnx"),
        calibration=folder / "calibration.npz",
        train=folder / "train.npz",
        name="toy",
        out=folder / "bundles",
        epochs=1,
        keep=True,
        say=lambda _: None,
    )


@pytest.fixture(scope="module")
def by_default(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A bundle in both precisions whose kind of second network was left to `build`, and what was said."""
    said: list[str] = []
    options = options_in(tmp_path_factory.mktemp("default"))
    return build(replace(options, int8=True, say=said.append)), said


def test_a_classifier_of_pictures_gets_a_head_by_default(by_default: tuple[Path, list[str]]) -> None:
    folder, said = by_default
    bundle = load(folder)
    assert bundle.manifest.made["second_network"]["head"] == ["picture", "fine", "coarse"]
    assert bundle.manifest.detector == "distillation"
    assert bundle.manifest.score == {"loss": "xent", "temperature": 0.1}
    assert any("--second student" in line for line in said)


@pytest.mark.parametrize("precision", ["half", "int8"])
@pytest.mark.filterwarnings("ignore")  # from the converters
def test_a_head_reads_half_precision_and_8_bits_as_real_numbers(
    options: Options, tmp_path: Path, precision: str
) -> None:
    """With ONNX Runtime's converters; the one for half precision leaves nodes unsorted."""
    given = options.classifier
    converted = tmp_path / "converted.onnx"
    x = instances(300, (13, 13, 3))
    if precision == "half":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(given), keep_io_types=True), converted)
    else:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

        class Rows(CalibrationDataReader):  # type: ignore[misc]  # the base has no types
            batches = iter(np.array_split(x[:64], 4))

            def get_next(self) -> dict[str, Any] | None:
                batch = next(self.batches, None)
                return None if batch is None else {"x": batch}

        quantize_static(str(given), str(converted), Rows(), quant_format=QuantFormat.QOperator)
    bundle = load(build(replace(options, classifier=converted)))
    assert len(bundle.manifest.made["second_network"]["head"]) == 3
    found = OnnxRuntime(bundle, "cpu").run(x[:20])
    expected = distribution(predict(given, x[:20], "network"), "logits", 1)
    np.testing.assert_allclose(found.probabilities, expected, atol=0.02)


def test_a_classifier_of_one_row_says_why_it_has_no_head(options: Options, tmp_path: Path) -> None:
    model = onnx.load(options.classifier)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 10]), "one_row"))
    flatten.CopyFrom(onnx.helper.make_node("Reshape", [flatten.input[0], "one_row"], list(flatten.output)))
    onnx.save(model, tmp_path / "one.onnx")
    network = open_classifier(tmp_path / "one.onnx", instances(300, (13, 13, 3)), "classifier").network
    assert find_feature_maps(network, instances(2, (13, 13, 3))) == ()
    assert "one row at a time" in why_none(network)


def test_a_head_reads_the_input_itself_where_the_first_layer_does(options: Options, tmp_path: Path) -> None:
    """As in exports from PyTorch: nothing is between the input and the first convolution."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten())
    network.append(torch.nn.Linear(4 * 9 * 9, 5))
    rows = instances(300, (3, 9, 9)).astype(np.float32)
    graph = Writer({"input": torch.from_numpy(rows[:2])})
    onnx.save(graph.model(graph.layer("input", network), "logits", (5,)), tmp_path / "direct.onnx")
    for name in ("train", "calibration"):
        np.savez(tmp_path / f"{name}.npz", x=rows)
    bundle = load(build(replace(options, classifier=tmp_path / "direct.onnx")))
    assert len(bundle.manifest.made["second_network"]["head"]) == 2
    runtime = OnnxRuntime(bundle, "cpu")
    expected = network(torch.from_numpy(rows[:20])).softmax(1).detach().numpy()
    np.testing.assert_allclose(runtime.run(rows[:20]).probabilities, expected, atol=1e-5)


def test_the_graph_in_8_bits_has_the_head_too(by_default: tuple[Path, list[str]]) -> None:
    bundle = load(by_default[0], "int8")
    assert bundle.manifest.int8 is not None
    assert len(bundle.reference.scores) == 300


def test_a_student_where_it_is_asked_for(options: Options) -> None:
    apart = load(build(replace(options, second="student")))
    assert apart.manifest.made["second_network"]["student"] == "ConvolutionalStudent"
    assert apart.manifest.score == {"loss": "xent", "temperature": 1}


@pytest.mark.parametrize(("shape", "layout", "second"), [((13, 13, 3), "pictures", "auto"), ((12,), "table", "head")])
def test_a_classifier_without_feature_maps_gets_a_head_for_rows(
    options: Options, tmp_path: Path, shape: tuple[int, ...], layout: str, second: Second
) -> None:
    for name in ("train", "calibration"):
        np.savez(tmp_path / f"{name}.npz", x=instances(300, shape))
    linear = linear_network(tmp_path / "linear.onnx", shape, 4, 0)
    work = few_copies(tmp_path / "work", 4)
    said: list[str] = []
    bundle = load(build(replace(options, classifier=linear, second=second, work=work, say=said.append)))
    made = bundle.manifest.made["second_network"]
    assert made["rows"]["layout"] == layout
    assert made["rows"]["reads"] == ["the row", "the classifier's answer"]
    assert bundle.manifest.score == {"loss": "xent", "temperature": 0.1}
    assert any("the second network reads the row, the classifier's answer" in line for line in said)


def test_a_head_and_a_student_at_once_are_refused(options: Options) -> None:
    with pytest.raises(UserError, match="--second head"):
        build(replace(options, second="head", student="some:function"))
