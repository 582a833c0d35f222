"""`build`: its output, its detection of inputs, and its errors with their remedies."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from harmgauge.bundle.load import load
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.errors import UserError
from harmgauge_models.options import Options
from tests.support.toy import instances, linear_network

SHAPE = (4, 4, 3)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """Valid options, of which each test breaks one thing."""
    np.savez(tmp_path / "calibration.npz", x=instances(200, SHAPE, seed=1), y=np.zeros(200, np.int64))
    return Options(
        classifier=linear_network(tmp_path / "classifier.onnx", SHAPE, 3, 1, scale=0.02),
        distilled=linear_network(tmp_path / "second.onnx", SHAPE, 3, 2, scale=0.02),
        calibration=tmp_path / "calibration.npz",
        name="toy",
        out=tmp_path / "bundles",
        window_rows=100,
        keep=True,
        say=lambda _: None,
    )


def changed(options: Options, **changes: Any) -> Options:
    return dataclasses.replace(options, **changes)


def test_threshold_and_reference_are_those_of_the_calibration_scores(options: Options) -> None:
    bundle = load(build(changed(options, percentile=90)))
    with np.load(options.calibration) as arrays:
        scores = OnnxRuntime(bundle, "cpu").run(arrays["x"]).score
    np.testing.assert_allclose(bundle.reference.scores, np.sort(scores), atol=1e-6)
    assert bundle.threshold == pytest.approx(np.percentile(scores, 90), abs=1e-6)
    assert bundle.manifest.quality["calibration_flagged"] == pytest.approx(0.1, abs=0.006)
    assert set(bundle.manifest.quality) >= {"agreement", "classifier_accuracy", "second_accuracy"}


def test_versions_count_up_and_are_never_overwritten(options: Options) -> None:
    assert [build(options).name for _ in range(3)] == ["1", "2", "3"]
    assert build(changed(options, version="2026.1")).name == "2026.1"
    with pytest.raises(UserError, match="exists"):
        build(changed(options, version="2"))
    assert sorted(path.name for path in (options.out / "toy").iterdir()) == ["1", "2", "2026.1", "3"], (
        "nothing left over"
    )


def test_finds_out_probabilities_and_takes_an_override(options: Options, tmp_path: Path) -> None:
    said: list[str] = []
    softmaxed = linear_network(tmp_path / "softmax.onnx", SHAPE, 3, 1, scale=0.02, softmax=True)
    found = load(build(changed(options, classifier=softmaxed, say=said.append)))
    assert "outputs probabilities for 3 classes (detected" in "".join(said)
    from_logits = load(build(options))
    np.testing.assert_allclose(found.reference.scores, from_logits.reference.scores, atol=1e-5)
    overridden = build(changed(options, classifier=softmaxed, classifier_gives="logits", say=said.append))
    assert "outputs logits for 3 classes (as set" in "".join(said)
    assert load(overridden).manifest.made["classifier_gives"] == "logits"


def test_a_given_second_network_needs_neither_torch_nor_training_rows(options: Options) -> None:
    without_torch = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("no torch here")
sys.meta_path.insert(0, Blocked())
from harmgauge.cli.main import main
from harmgauge_models.building import judge
judge.MOST_DISTURBED = 600
if main(sys.argv[1:]) == 0:
    at = sys.argv.index("--distilled")
    sys.exit(main([*sys.argv[1:at], "--train", sys.argv[sys.argv.index("--calibration") + 1], *sys.argv[at + 2 :]]))
"""
    arguments = ["build", "--classifier", str(options.classifier), "--distilled", str(options.distilled)]
    arguments += ["--calibration", str(options.calibration), "--name", "plain", "--out", str(options.out)]
    done = subprocess.run(
        [sys.executable, "-c", without_torch, *arguments], capture_output=True, text=True, check=False
    )
    assert "next: HARMGAUGE_BUNDLE=" in done.stdout, done.stderr
    manifest = json.loads((options.out / "plain" / "1" / "bundle.json").read_text())
    assert manifest["made"]["command"].startswith("harmgauge build --classifier ")
    assert done.returncode == 2, "training rows, which need torch, in place of the second network"
    assert "harmgauge[train]" in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, "--temperature 0.0.*above 0"),
        ({"temperature": -1.0}, "--temperature -1.0.*above 0"),
        ({"temperature": float("nan")}, "--temperature nan"),
        ({"loss": "l2"}, "--loss l2: expected kld or xent"),
        ({"percentile": 0.0}, "--percentile 0.0"),
        ({"percentile": 101.0}, "--percentile 101"),
        ({"distilled": None}, "--train.*--distilled"),
        ({"train": Path("train.npz")}, "leave out --train"),
        ({"name": "a/b"}, "--name"),
        ({"class_names": ("cat", "dog")}, "names 2 classes, the classifier has 3"),
        ({"window_rows": 1}, "--window-rows 1: expected at least 2"),
        ({"window_rows": 2}, "can never reach"),
        ({"rows_between_false_alarms": 10}, "set at least"),
        ({"calibration": Path("nowhere.npz")}, "there is no calibration file"),
        ({"classifier": Path("nowhere.onnx")}, "not a readable ONNX file"),
    ],
)
def test_refuses_bad_options(options: Options, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(changed(options, **changes))
    assert not list(options.out.rglob("bundle.json"))


def test_refuses_unequal_class_counts(options: Options, tmp_path: Path) -> None:
    """(n, 8) against (n, 1) would broadcast."""
    four = linear_network(tmp_path / "four.onnx", SHAPE, 4, 2)
    with pytest.raises(UserError, match="the classifier has 3 classes, the second network 4"):
        build(changed(options, distilled=four))


def test_refuses_networks_of_different_inputs(options: Options, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expects rows of"):
        build(changed(options, distilled=linear_network(tmp_path / "wide.onnx", (5, 4, 3), 3, 2)))
    with pytest.raises(UserError, match="accepts uint8, the second network float32"):
        build(changed(options, distilled=linear_network(tmp_path / "real.onnx", SHAPE, 3, 2, dtype="float32")))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (instances(99, SHAPE), "holds 99 calibration rows; expected at least 100"),
        (instances(200, (5, 4, 3)), "expects rows of"),
        (np.full((200, *SHAPE), 0.5), "save x as uint8"),
        (np.full((200, *SHAPE), np.nan), "expects uint8; the file holds float64"),
        (np.array([[None]] * 200), "expected an .npz file with a numeric array"),
        (np.zeros(200), "numbers \\(n, features\\)"),
    ],
)
def test_refuses_bad_calibration_data(options: Options, x: np.ndarray[Any, Any], message: str) -> None:
    np.savez(options.calibration, x=x)
    with pytest.raises(UserError, match=message):
        build(options)


def test_refuses_nan_scores(options: Options, tmp_path: Path) -> None:
    """Log of negative pixels: NaN would make a threshold that is never exceeded."""
    model = onnx.load(options.classifier)
    node = helper.make_node("Log", ["real_0"], ["real"])
    model.graph.node[0].output[0] = "real_0"
    cast, *rest = list(model.graph.node)
    minus = helper.make_node("Sub", ["real_0", "offset"], ["shifted"])
    node.input[0] = "shifted"
    model.graph.initializer.append(helper.make_tensor("offset", TensorProto.FLOAT, [], [10.0]))
    del model.graph.node[:]
    model.graph.node.extend([cast, minus, node, *rest])
    onnx.save_model(model, str(tmp_path / "nan.onnx"))
    with pytest.raises(UserError, match="returns NaN or infinity for the data, the first for row 0"):
        build(changed(options, classifier=tmp_path / "nan.onnx"))


def test_values_that_the_input_cannot_hold_are_refused_not_wrapped(options: Options) -> None:
    np.savez(options.calibration, x=instances(200, SHAPE).astype(np.uint16) + 256)
    with pytest.raises(UserError, match="beyond its range"):
        build(options)


def test_networks_exported_for_one_row_take_many(options: Options, tmp_path: Path) -> None:
    for path in (options.classifier, options.distilled):
        assert path is not None
        model = onnx.load(path)
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = 1
        onnx.save_model(onnx.shape_inference.infer_shapes(model), path)
    runtime = OnnxRuntime(load(build(options)), "cpu")
    assert runtime.run(instances(7, SHAPE)).score.shape == (7,)


def test_a_number_of_rows_that_is_baked_in_is_run_one_by_one(options: Options) -> None:
    model = onnx.load(options.classifier)
    flatten = next(node for node in model.graph.node if node.op_type == "Flatten")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 48]), "one_row"))
    flatten.CopyFrom(helper.make_node("Reshape", [flatten.input[0], "one_row"], list(flatten.output)))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save_model(model, options.classifier)
    said: list[str] = []
    runtime = OnnxRuntime(load(build(changed(options, say=said.append))), "cpu")
    assert any("runs one row at a time" in line for line in said)
    assert runtime.run(instances(7, SHAPE)).score.shape == (7,)


@pytest.mark.parametrize("role", ["calibration", "samples"])
def test_files_that_are_no_npz_are_refused(options: Options, tmp_path: Path, role: str) -> None:
    path = tmp_path / "other.npz"
    np.save(tmp_path / "array.npy", np.zeros((200, *SHAPE)))
    whole = options.calibration.read_bytes()
    for data in (b"", (tmp_path / "array.npy").read_bytes(), whole[: len(whole) // 2], b"PK\x03\x04" + bytes(100)):
        path.write_bytes(data)
        with pytest.raises(UserError, match="other.npz"):
            build(changed(options, **{role: path}))


def test_few_reference_rows_are_warned_of(options: Options) -> None:
    said: list[str] = []
    build(changed(options, say=said.append))
    assert any("only 200 calibration rows" in line for line in said)
