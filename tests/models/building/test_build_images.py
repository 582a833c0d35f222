"""`build` for classifiers of normalised images: from folders of image files, from pixels, from normalised numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from harmgauge.bundle.inputs import Pictures
from harmgauge.bundle.load import load
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.cli import COMMANDS
from harmgauge_models.errors import UserError
from harmgauge_models.options import Options
from tests.support.photographs import as_torchvision, class_folders
from tests.support.toy import linear_network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPE = (3, 24, 32)
ROWS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("images"), ROWS)


@pytest.fixture(scope="module")
def pixels(folder: Path) -> np.ndarray[Any, Any]:
    """The folder's images after torchvision's Resize(36) and CenterCrop((24, 32)), in the order of its loader."""
    files = sorted(folder.rglob("*.*"))
    return np.stack([as_torchvision(file.read_bytes(), 36, (32, 24)) for file in files]).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def options(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Options:
    here = tmp_path_factory.mktemp("networks")
    return Options(
        classifier=linear_network(here / "classifier.onnx", SHAPE, 2, 1, dtype="float32"),
        detector="entropy",
        calibration=folder,
        name="insects",
        mean=MEAN,
        std=STD,
        resize=36,
        out=here / "bundles",
        say=lambda _: None,
    )


def normalised(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """As torchvision: ToTensor and Normalize, in float32."""
    unit = pixels.astype(np.float32) / np.float32(255)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
    return (unit - mean) / std


def logits(options: Options, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = onnxruntime.InferenceSession(str(options.classifier)).run(None, {"x": x})[0]
    assert isinstance(found, np.ndarray)
    return found


def softmax(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    powers: np.ndarray[Any, Any] = np.exp(values - values.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def test_a_folder_becomes_pixels_and_the_normalisation_part_of_the_graph(
    options: Options, pixels: np.ndarray[Any, Any]
) -> None:
    bundle = load(build(options))
    manifest = bundle.manifest
    assert manifest.class_names == ("ants", "bees")
    assert (manifest.inputs[0].dtype, manifest.inputs[0].shape, manifest.inputs[0].range) == ("uint8", SHAPE, (0, 255))
    assert manifest.preparation is not None
    assert manifest.preparation.pictures == Pictures(layout="CHW", resize=36, crop=(32, 24))
    assert manifest.made["normalised_in_graph"] == {"scale": pytest.approx(1 / 255), "mean": [*MEAN], "std": [*STD]}
    outputs = OnnxRuntime(bundle, "cpu").run(pixels)
    expected = softmax(logits(options, normalised(pixels)))
    np.testing.assert_allclose(outputs.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(np.sort(outputs.score), bundle.reference.scores, atol=1e-5)


def test_pixels_in_a_file_give_the_same_bundle(options: Options, pixels: np.ndarray[Any, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "pixels.npz", x=pixels)
    from_file, from_folder = (
        load(build(replace(options, calibration=data, class_names=("ants", "bees"))))
        for data in (tmp_path / "pixels.npz", options.calibration)
    )
    np.testing.assert_array_equal(from_file.reference.scores, from_folder.reference.scores)
    assert from_file.manifest.preparation == from_folder.manifest.preparation
    assert from_file.manifest.made["calibration"]["sha256"] != from_folder.manifest.made["calibration"]["sha256"]


def test_normalised_numbers_stay_the_input_and_images_are_normalised_outside_the_graph(
    options: Options, pixels: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    x = normalised(pixels)
    np.savez(tmp_path / "normalised.npz", x=x)
    bundle = load(build(replace(options, calibration=tmp_path / "normalised.npz")))
    manifest = bundle.manifest
    assert manifest.inputs[0].dtype == "float32"
    assert "normalised_in_graph" not in manifest.made
    assert manifest.preparation is not None
    assert manifest.preparation.pictures is not None
    assert (manifest.preparation.pictures.mean, manifest.preparation.pictures.std) == (MEAN, STD)
    rows = manifest.input.from_pixels(pixels.transpose(0, 2, 3, 1)).astype(np.float32)
    np.testing.assert_allclose(rows, x, atol=1e-6)
    run = OnnxRuntime(bundle, "cpu").run
    np.testing.assert_allclose(run(rows).score, run(x).score, atol=1e-6)
    np.testing.assert_array_equal(manifest.input.to_pixels(x), pixels.transpose(0, 2, 3, 1))


def test_a_second_network_of_ones_own_gets_the_same_normalisation(options: Options, tmp_path: Path) -> None:
    same = linear_network(tmp_path / "second.onnx", SHAPE, 2, 1, dtype="float32")
    with pytest.raises(UserError, match="give the same probabilities for every calibration row"):
        build(replace(options, detector="distillation", distilled=same, keep=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (24, 24)}, "--crop 24x24: the classifier takes images of 32 x 24 pixels"),
        ({"resize": None, "crop": (32, 24), "resize_filter": "bicubic"}, "--resize-filter is for --resize"),
        ({"resize": 20}, "resize to 20 pixels leaves no room for a crop of 32 x 24"),
        ({"resize": None}, "pixels; expected 32 x 24: set --resize"),
        ({"mean": (0.5, 0.5)}, "mean has 2 numbers for images with 3 channels"),
        ({"std": (0.2, 0.0, 0.2)}, "--std: expected numbers above 0"),
        ({"scale": -1.0}, "--scale -1.0: expected a number above 0"),
    ],
)
def test_errors_before_anything_is_trained(options: Options, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(replace(options, **changes))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((ROWS, *SHAPE), np.float32), "no negative values, so they are not normalised yet"),
        (np.full((ROWS, *SHAPE), 4, np.float32), r"values from 4 to 4, but .* black to white is -2.118 to 2.64"),
        (np.zeros((ROWS, 9), np.float32), "which are not images: leave out --mean"),
    ],
)
def test_rows_that_contradict_the_options(
    options: Options, tmp_path: Path, x: np.ndarray[Any, Any], message: str
) -> None:
    np.savez(tmp_path / "rows.npz", x=x)
    classifier = linear_network(tmp_path / "classifier.onnx", x.shape[1:], 2, 1, dtype="float32")
    with pytest.raises(UserError, match=message):
        build(replace(options, calibration=tmp_path / "rows.npz", classifier=classifier))


def test_a_classifier_that_normalises_pixels_itself_needs_no_options(options: Options, tmp_path: Path) -> None:
    classifier = linear_network(tmp_path / "classifier.onnx", SHAPE, 2, 1, scale=0.02)
    with pytest.raises(UserError, match="takes whole numbers, so it normalises pixels itself"):
        build(replace(options, classifier=classifier))
    bundle = load(build(replace(options, classifier=classifier, mean=None, std=None)))
    assert bundle.manifest.input.dtype == "uint8"


def test_folders_that_are_no_data_set(options: Options, folder: Path, tmp_path: Path) -> None:
    for change, message in (
        (lambda _: None, "holds no images"),
        (
            lambda path: (path / "ants" / "0.jpg").write_bytes(b"no image"),
            "0.jpg is not a readable image .*leave it out",
        ),
        (lambda path: (path / "0.png").write_bytes(next(folder.rglob("*.png")).read_bytes()), "is in no subfolder"),
    ):
        (tmp_path / "ants").mkdir(exist_ok=True)
        change(tmp_path)
        with pytest.raises(UserError, match=message):
            build(replace(options, calibration=tmp_path))


def test_the_command_takes_fractions_lists_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    COMMANDS["build"].add_arguments(parser)
    needed = ["--classifier", "c.onnx", "--calibration", "d", "--name", "n"]
    given = parser.parse_args(
        [*needed, "--scale", "1/255", "--mean", "0.5,0.4,0.3", "--resize", "9", "--crop", "32x24"]
    )
    assert (given.scale, given.mean, given.resize, given.crop) == (1 / 255, (0.5, 0.4, 0.3), 9, (32, 24))
    assert parser.parse_args([*needed, "--crop", "224"]).crop == (224, 224)
    for wrong in (["--scale", "1/0"], ["--mean", "a"], ["--crop", "2x3x4"], ["--crop", "0"]):
        with pytest.raises(SystemExit):
            parser.parse_args([*needed, *wrong])
        assert "expected" in capsys.readouterr().err
