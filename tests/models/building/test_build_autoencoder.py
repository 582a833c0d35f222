"""`build --detector adversarial-autoencoder`: with a trained, a given and a custom autoencoder, and its errors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array
from harmgauge.cli.main import main
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.building.build import build
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict
from harmgauge_models.options import Options
from tests.support.toy import instances, linear_autoencoder, linear_network

SHAPE = (5,)


def curve(rows: int, seed: int) -> Array:
    """Instances on a curve in five dimensions, which an autoencoder can learn."""
    along = np.random.default_rng(seed).uniform(-2, 2, rows)
    return np.stack([along, along**2, np.sin(3 * along), np.cos(2 * along), -along], 1).astype(np.float32)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """Valid options, of which each test changes or breaks one thing."""
    np.savez(tmp_path / "train.npz", x=curve(1500, 1))
    np.savez(tmp_path / "calibration.npz", x=curve(600, 2))
    return Options(
        classifier=linear_network(tmp_path / "classifier.onnx", SHAPE, 3, 1, dtype="float32", scale=4.0),
        detector="adversarial-autoencoder",
        train=tmp_path / "train.npz",
        calibration=tmp_path / "calibration.npz",
        name="toy",
        out=tmp_path / "bundles",
        window_rows=100,
        temperature=0.5,
        noise=0.05,
        reconstruction_weight=1.0,
        epochs=15,
        say=lambda _: None,
    )


def changed(options: Options, **changes: Any) -> Options:
    return dataclasses.replace(options, **changes)


def test_the_classifier_says_of_the_reconstruction_what_it_says_of_the_input(options: Options, tmp_path: Path) -> None:
    folder = build(changed(options, work=tmp_path / "work", hidden_layers=("flat:4:0.1",)))
    bundle = load(folder)
    manifest = bundle.manifest
    assert (manifest.detector, manifest.score) == ("adversarial_autoencoder", {"loss": "kld", "temperature": 0.5})
    assert manifest.quality["agreement"] > 0.9
    second = manifest.made["second_network"]
    assert (second["autoencoder"], second["hidden_layers"], second["noise"]) == ("dense", ["flat:4:0.1"], 0.05)

    outputs = OnnxRuntime(bundle, "cpu").run(curve(200, 3))
    assert outputs.corrected_probabilities is not None
    off = curve(200, 3)
    off[:, 2:4] += 4  # far from everything in the training data
    assert np.median(OnnxRuntime(bundle, "cpu").run(off).score) > np.median(outputs.score) * 3

    again = load(build(changed(options, work=tmp_path / "work", hidden_layers=("flat:4:0.1",))))
    assert again.graph == bundle.graph, "from the finished checkpoint"
    with pytest.raises(UserError, match="different settings"):
        build(changed(options, work=tmp_path / "work", temperature=1.0))


def test_an_autoencoder_that_is_given_is_trained_no_further(options: Options, tmp_path: Path) -> None:
    path = linear_autoencoder(tmp_path / "autoencoder.onnx", SHAPE, 3, dtype="float32")
    bundle = load(build(changed(options, train=None, autoencoder_onnx=path)))
    x = curve(50, 4)
    outputs = OnnxRuntime(bundle, "cpu").run(x)
    logits = predict(options.classifier, predict(path, x, "autoencoder"), "classifier").astype(np.float64)
    due = np.exp(logits - logits.max(1, keepdims=True))
    assert outputs.corrected_probabilities is not None
    np.testing.assert_allclose(outputs.corrected_probabilities, due / due.sum(1, keepdims=True), atol=1e-5)
    assert bundle.manifest.made["second_network"]["given"]["file"] == "autoencoder.onnx"


def own_autoencoder(x: Array) -> nn.Module:
    return nn.Sequential(nn.Linear(x.shape[1], 2), nn.Linear(2, x.shape[1]))


def test_an_autoencoder_of_ones_own(options: Options) -> None:
    spec = f"{__name__}:own_autoencoder"
    bundle = load(build(changed(options, autoencoder=spec, epochs=1)))
    assert bundle.manifest.made["second_network"]["autoencoder"] == spec
    with pytest.raises(UserError, match="--autoencoder no.such:f"):
        build(changed(options, autoencoder="no.such:f"))


def wrong_shape(x: Array) -> nn.Module:
    return nn.Linear(x.shape[1], x.shape[1] + 1)


def wrong_input(x: Array) -> nn.Module:
    return nn.Linear(x.shape[1] + 1, x.shape[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": None}, "name the training rows with --train, or an autoencoder of your own"),
        ({"student": "a:b"}, "--distilled, --student and --second are for --detector distillation"),
        ({"loss": "xent"}, "--loss: the score of an adversarial autoencoder is a KL divergence"),
        ({"noise": -1.0}, "--noise -1.0: expected 0 or more"),
        ({"reconstruction_weight": float("nan")}, "--reconstruction-weight nan"),
        ({"hidden_layers": ("flat",)}, "--hidden-layer flat: expected NAME:DIM"),
        ({"hidden_layers": ("flat:4", "flat:3")}, "--hidden-layer flat is repeated"),
        ({"hidden_layers": ("y:4",)}, "is the classifier's output itself"),
        ({"flip": True}, "--shift-pixels and --flip are for images"),
        ({"detector": "distillation"}, "--reconstruction-weight is for --detector adversarial-autoencoder"),
        ({"autoencoder": f"{__name__}:wrong_shape"}, r"returns rows of \(6,\); expected \(5,\)"),
        ({"autoencoder": f"{__name__}:wrong_input"}, r"fails on rows of float32 \(5,\): "),
    ],
)
def test_what_makes_no_sense_is_refused(options: Options, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(changed(options, **changes))
    assert not options.out.exists()


def test_given_autoencoders_of_other_shapes_are_refused(options: Options, tmp_path: Path) -> None:
    path = linear_network(tmp_path / "no.onnx", SHAPE, 7, 1, dtype="float32")
    with pytest.raises(UserError, match=r"returns float32 \(64, 7\) for float32 \(64, 5\)"):
        build(changed(options, train=None, autoencoder_onnx=path))
    with pytest.raises(UserError, match="leave out --train and --autoencoder"):
        build(changed(options, autoencoder_onnx=path))


def test_images_of_bytes_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = (8, 8, 3)
    for name, seed in (("train", 1), ("calibration", 2)):
        np.savez(tmp_path / f"{name}.npz", x=instances(200, shape, seed=seed))
    classifier = linear_network(tmp_path / "classifier.onnx", shape, 3, 1, scale=0.02)
    arguments = f"""build --detector adversarial-autoencoder --classifier {classifier} --name images
        --train {tmp_path}/train.npz --calibration {tmp_path}/calibration.npz --out {tmp_path} --epochs 1
        --temperature 0.5 --noise 0.1 --reconstruction-weight 2 --shift-pixels 1 --flip
        --hidden-layer flat:4 --hidden-layer real:3:0.5 --window-rows 100"""
    assert main(arguments.split()) == 0, capsys.readouterr().err
    bundle = load(tmp_path / "images" / "1")
    assert bundle.manifest.made["second_network"]["autoencoder"] == "convolutional"
    assert bundle.manifest.made["second_network"]["hidden_layers"] == ["flat:4", "real:3:0.5"]
    corrected = OnnxRuntime(bundle, "cpu").run(instances(5, shape)).corrected_probabilities
    assert corrected is not None
    torch.testing.assert_close(torch.from_numpy(corrected.sum(1)), torch.ones(5))
