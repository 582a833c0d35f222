"""The shipped adversarial autoencoder in service: scores, flags and corrections of real test images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Array
from harmgauge.bundle.samples import Samples, read_samples
from tests.conftest import ROOT
from tests.support.process import RAW, RunningService, running_service

BUNDLE = ROOT / "models" / "bundles" / "cifar10-resnet32-ae" / "1"


@pytest.fixture(scope="module")
def samples() -> Samples[Array]:
    return read_samples(load(BUNDLE))


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with running_service(BUNDLE, deadline_seconds=60) as running:
        yield running


@pytest.fixture(scope="module")
def of_clean(service: RunningService, samples: Samples[Array]) -> dict[str, Any]:
    """The answer for the clean samples, with corrections."""
    answer = service.client.post("/score?correct=true", content=samples.clean.tobytes(), headers=RAW)
    document: dict[str, Any] = answer.json()
    return document


def test_the_bundle_is_small_and_offers_features() -> None:
    bundle = load(BUNDLE)
    assert sum(file.stat().st_size for file in BUNDLE.rglob("*") if file.is_file()) <= 8_000_000
    assert (bundle.manifest.detector, bundle.manifest.threshold.percentile) == ("adversarial_autoencoder", 90)
    assert bundle.manifest.features is not None


def test_clean_images_are_left_alone_and_still_right_behind_the_autoencoder(
    service: RunningService, samples: Samples[Array], of_clean: dict[str, Any]
) -> None:
    assert samples.y is not None
    flagged = np.array(of_clean["is_adversarial"])
    assert abs(flagged.mean() - 0.1) < 0.05
    assert of_clean["no_defense"] == of_clean["predictions"]
    expected = np.where(flagged, of_clean["defense"], of_clean["no_defense"])
    np.testing.assert_array_equal(of_clean["corrected"], expected)
    accuracies = {name: np.mean(of_clean[name] == samples.y) for name in ("no_defense", "defense", "corrected")}
    assert accuracies["no_defense"] > 0.9
    assert accuracies["defense"] > 0.88
    assert accuracies["corrected"] > 0.9
    assert "corrected" not in service.score(samples.clean[:2])


def test_disturbed_images_score_higher(
    service: RunningService, samples: Samples[Array], of_clean: dict[str, Any]
) -> None:
    corrupted = service.score(samples.corrupted)["scores"]
    assert np.median(corrupted) > 3 * np.median(of_clean["scores"])
