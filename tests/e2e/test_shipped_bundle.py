"""The shipped CIFAR-10 bundle in the real process, on real images."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.samples import read_samples
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge_models.cli import COMMANDS
from harmgauge_models.data import cifar10
from harmgauge_models.data.corruptions import CORRUPTIONS
from tests.conftest import SHIPPED_BUNDLE
from tests.support.process import RunningService, running_service

LITERATURE_BUNDLE = SHIPPED_BUNDLE.with_name("1")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load(SHIPPED_BUNDLE)


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with running_service(SHIPPED_BUNDLE) as running:
        yield running


def command_words(command: str) -> list[str]:
    """A command as it was recorded, without the program, which was once called `python -m models`."""
    words = shlex.split(command)
    called = ["harmgauge"] if words[0] == "harmgauge" else ["python", "-m", "models"]
    assert words[: len(called)] == called
    return words[len(called) :]


@pytest.mark.parametrize("path", [LITERATURE_BUNDLE, SHIPPED_BUNDLE], ids=["literature", "default"])
def test_it_is_small_and_says_how_to_make_it_again(path: Path) -> None:
    bundle = load(path)
    size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert size_bytes <= 8_000_000
    made = bundle.manifest.made
    for command, name in ((made["classifier"]["training"]["command"], "train"), (made["command"], "build")):
        words = command_words(command)
        assert words[0] == name
        parser = argparse.ArgumentParser()
        COMMANDS[name].add_arguments(parser)
        given = parser.parse_args(words[1:])
        if name == "build":
            assert given.name == bundle.manifest.name
            assert given.version in {None, bundle.manifest.version}
    if path == SHIPPED_BUNDLE:
        words = command_words(made["columns"]["command"])
        parser = argparse.ArgumentParser()
        COMMANDS["calibrate"].add_arguments(parser)
        given = parser.parse_args(words[1:])
        assert (words[0], given.only, given.version) == ("calibrate", "columns", bundle.manifest.version)
        assert made["columns"]["calibration"] == made["calibration"]
    assert made["second_network"]["train"]["rows"] == 45_000
    assert made["calibration"]["rows"] == len(bundle.reference.scores) == 5_000
    assert made["classifier"]["training"]["test_accuracy"] >= 0.92
    assert bundle.manifest.threshold.percentile == 95


def test_the_second_networks_are_the_literatures_and_a_head_on_the_classifiers_features(bundle: Bundle) -> None:
    literature = load(LITERATURE_BUNDLE).manifest.made
    assert literature["second_network"]["student"] == "ConvolutionalStudent"
    assert literature["second_network"]["epochs"] == 50
    made = bundle.manifest.made
    assert len(made["second_network"]["head"]) == 4


def test_both_watch_the_same_classifier(bundle: Bundle) -> None:
    """Its files need not be identical: the default bundle's was extracted from the fused graph of an earlier one."""
    literature = load(LITERATURE_BUNDLE)
    made, before = (of.manifest.made["classifier"]["training"] for of in (bundle, literature))
    assert made == before
    images = read_samples(bundle).clean[:200]
    ours, theirs = (OnnxRuntime(of, "cpu").run(images).probabilities for of in (bundle, literature))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_accuracy_over_http_is_the_classifiers_own(service: RunningService, bundle: Bundle, cifar10_path: Path) -> None:
    """All 5,000 test images, in requests of 250."""
    test = cifar10.load_test(cifar10_path)
    predictions: list[int] = []
    for start in range(0, len(test.x), 250):
        predictions += service.score(test.x[start : start + 250])["predictions"]
    accuracy = float(np.mean(np.array(predictions) == test.y))
    assert accuracy >= 0.92
    assert accuracy == pytest.approx(bundle.manifest.made["classifier"]["training"]["test_accuracy"], abs=1e-9)


def test_the_samples_are_test_images_and_what_became_of_them(bundle: Bundle, cifar10_path: Path) -> None:
    samples, test = read_samples(bundle), cifar10.load_test(cifar10_path)
    known = {hashlib.sha256(image.tobytes()).digest() for image in test.x}
    assert all(hashlib.sha256(image.tobytes()).digest() in known for image in samples.clean)
    assert samples.clean.shape == samples.corrupted.shape
    assert (samples.clean != samples.corrupted).any((1, 2, 3)).all()


def test_clean_images_stay_calm_and_corrupted_ones_drift(bundle: Bundle) -> None:
    samples = read_samples(bundle)
    with running_service(SHIPPED_BUNDLE, window_rows=500) as service:
        clean = service.score(samples.clean[:500])
        calm = service.score_ks(scores=True)
        assert calm["state"] == "ok"
        assert calm["p_value"] > 0.01
        assert np.mean(clean["is_adversarial"]) == pytest.approx(0.05, abs=0.03), "the percentile was 95"
        p_values = []
        corrupted = []
        for start in range(0, 500, 100):
            corrupted.append(service.score(samples.corrupted[start : start + 100]))
            p_values.append(service.score_ks()["p_value"])
        assert p_values == sorted(p_values, reverse=True)
        drift = service.score_ks(scores=True)
        assert drift["state"] == "drifting"
        assert drift["p_value"] == pytest.approx(ks_2samp(drift["scores"], bundle.reference.scores).pvalue, rel=1e-9)
        assert service.detector_metric("drift_detected")["score_ks"] == 1
        mean = np.mean([score for answer in corrupted for score in answer["scores"]])
        assert mean > 1.5 * np.mean(clean["scores"])


def test_the_window_forgets(bundle: Bundle) -> None:
    """The alarm ends when the window holds clean images again."""
    samples = read_samples(bundle)
    with running_service(SHIPPED_BUNDLE, window_rows=200) as service:
        service.score(samples.corrupted[:200])
        assert service.score_ks()["state"] == "drifting"
        service.score(samples.clean[:200])
        assert service.score_ks()["state"] == "ok"


def test_more_noise_scores_higher(service: RunningService, bundle: Bundle) -> None:
    clean = read_samples(bundle).clean[:100]
    means = [np.mean(service.score(clean)["scores"])]
    for severity in (1, 3, 5):
        noisy = CORRUPTIONS["gaussian_noise"](clean, severity, np.random.default_rng(0))
        means.append(np.mean(service.score(noisy)["scores"]))
    assert means == sorted(means)
