"""The second network is served if it is better than the classifier's entropy, otherwise the entropy is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.bundle.manifest import Precision
from harmgauge.drift.detectable import Detectable
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.settings import Settings
from harmgauge_models.building.build import build
from harmgauge_models.graphs.classifier import distribution
from harmgauge_models.graphs.run import predict
from harmgauge_models.options import Options
from tests.support.few_rows import few_copies
from tests.support.toy import instances, linear_autoencoder, linear_network, two_layers

SHAPE = (4, 4, 3)
X = instances(500, SHAPE)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """Options with a second network that is unrelated to the classifier."""
    classifier = linear_network(tmp_path / "classifier.onnx", SHAPE, 3, 1, scale=0.02)
    np.savez(tmp_path / "calibration.npz", x=X, y=predict(classifier, X, "labels").argmax(1))
    return Options(
        classifier=classifier,
        distilled=linear_network(tmp_path / "second.onnx", SHAPE, 3, 2, scale=0.02),
        calibration=tmp_path / "calibration.npz",
        name="toy",
        out=tmp_path / "bundles",
        window_rows=100,
        say=lambda _: None,
    )


def entropy(options: Options, temperature: float = 1.0) -> Any:
    p = distribution(predict(options.classifier, X, "classifier"), "logits", temperature)
    return -(p * np.log(np.clip(p, 1e-7, 1))).sum(1)


def test_entropy_is_the_score_where_it_is_better(options: Options) -> None:
    said: list[str] = []
    bundle = load(build(replace(options, say=said.append)))
    manifest = bundle.manifest
    assert manifest.detector == "entropy"
    assert manifest.score["unit"] == "nats"
    assert "ranks harmed above harmless rows better" in manifest.score["reason"]
    assert manifest.made["second_network"] == {"none": manifest.score["reason"]}
    assert any("--keep keeps the second network" in line for line in said)
    quality = manifest.quality
    detectable = Detectable(len(X), Settings().tolerance, options.rows_between_false_alarms)
    assert said[-2:] == [quality["judgement"]["sentence"], detectable.sentence]
    assert quality["judgement"]["seen"]["score_minus_entropy"][0] < 0
    assert (quality["classifier_accuracy"], "agreement" in quality) == (1, False)
    assert quality["calibration_flagged"] == pytest.approx(0.05, abs=0.004)
    outputs = OnnxRuntime(bundle, "cpu").run(X)
    np.testing.assert_allclose(outputs.score, entropy(options), atol=1e-5)
    np.testing.assert_allclose(np.sort(outputs.score), bundle.reference.scores, atol=1e-5)


def test_keep_keeps_the_second_network(options: Options) -> None:
    manifest = load(build(replace(options, keep=True))).manifest
    assert (manifest.detector, manifest.score) == ("distillation", {"loss": "kld", "temperature": 1.0})
    assert set(manifest.quality) >= {"agreement", "classifier_accuracy", "second_accuracy", "calibration_flagged"}
    judgement = manifest.quality["judgement"]
    assert "entropy alone would be better" in judgement["sentence"]
    assert judgement["worth_serving"] is False
    assert judgement["unseen"] is None, "a given network cannot be trained without some disturbances"


def test_an_autoencoder_is_never_replaced(options: Options, tmp_path: Path) -> None:
    given = linear_autoencoder(tmp_path / "autoencoder.onnx", SHAPE, 3)
    taken = replace(options, detector="adversarial-autoencoder", distilled=None, autoencoder_onnx=given)
    manifest = load(build(taken)).manifest
    assert manifest.detector == "adversarial_autoencoder"
    assert manifest.quality["judgement"]["target"] == "wrong"


def test_a_trained_head_is_judged_by_what_it_has_not_seen(options: Options, tmp_path: Path) -> None:
    classifier = linear_network(tmp_path / "table.onnx", (5,), 3, 1, dtype="float32", scale=3)
    x = instances(300, (5,), "float32")
    np.savez(tmp_path / "calibration.npz", x=x, y=predict(classifier, x, "labels").argmax(1))
    np.savez(tmp_path / "train.npz", x=instances(400, (5,), "float32", seed=5))
    work = few_copies(tmp_path / "work", 4)
    trained = replace(options, classifier=classifier, distilled=None, train=tmp_path / "train.npz", epochs=1, keep=True)
    manifest = load(build(replace(trained, work=work))).manifest
    judgement = manifest.quality["judgement"]
    assert judgement["unseen"]["rows"] > 0
    assert set(judgement["by_family"]) == set(manifest.made["second_network"]["resembled_kinds"])
    assert judgement["clean"]["positive"] == 0, "the labels are what the classifier says"


@pytest.mark.parametrize("of", ["logits", "probabilities", "int8"])
def test_entropy_on_request(options: Options, of: str) -> None:
    if of == "int8":
        two_layers(options.classifier, 1)
    else:
        linear_network(options.classifier, SHAPE, 3, 1, scale=0.02, softmax=of == "probabilities")
    bundle = load(build(replace(options, detector="entropy", distilled=None, int8=of == "int8")))
    assert bundle.manifest.detector == "entropy"
    assert bundle.manifest.score["reason"] == "it was asked for with --detector entropy"
    assert bundle.manifest.made["classifier_gives"] == ("logits" if of == "int8" else of)
    precisions: list[Precision] = ["float32", "int8"] if of == "int8" else ["float32"]
    for precision in precisions:
        outputs = OnnxRuntime(load(bundle.path, precision), "cpu").run(X)
        p = outputs.probabilities.astype(np.float64)
        np.testing.assert_allclose(outputs.score, -(p * np.log(np.clip(p, 1e-7, 1))).sum(1), atol=1e-5)
