"""The shipped adversarial autoencoder in service: scores, flags and corrections of real test images."""

from __future__ import annotations

import numpy as np

from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from tests.conftest import ROOT
from tests.support.process import RAW, running_service

BUNDLE = ROOT / "models" / "bundles" / "cifar10-resnet32-ae" / "1"


def test_clean_images_are_left_alone_and_still_right_behind_the_autoencoder() -> None:
    bundle = load(BUNDLE)
    assert sum(file.stat().st_size for file in BUNDLE.rglob("*") if file.is_file()) <= 8_000_000
    assert (bundle.manifest.detector, bundle.manifest.threshold.percentile) == ("adversarial_autoencoder", 90)
    assert bundle.manifest.features is not None
    samples = read_samples(bundle)
    assert samples.y is not None
    with running_service(BUNDLE, deadline_seconds=60) as service:
        answer = service.client.post("/score?correct=true", content=samples.clean.tobytes(), headers=RAW).json()
        flagged = np.array(answer["is_adversarial"])
        assert abs(flagged.mean() - 0.1) < 0.05
        assert answer["no_defense"] == answer["predictions"]
        expected = np.where(flagged, answer["defense"], answer["no_defense"])
        np.testing.assert_array_equal(answer["corrected"], expected)
        accuracies = {name: np.mean(answer[name] == samples.y) for name in ("no_defense", "defense", "corrected")}
        assert accuracies["no_defense"] > 0.9
        assert accuracies["defense"] > 0.88
        assert accuracies["corrected"] > 0.9
        assert "corrected" not in service.score(samples.clean[:2])


def test_disturbed_images_score_higher() -> None:
    bundle = load(BUNDLE)
    samples = read_samples(bundle)
    with running_service(BUNDLE, deadline_seconds=60) as service:
        clean, corrupted = (np.median(service.score(rows)["scores"]) for rows in (samples.clean, samples.corrupted))
    assert corrupted > 3 * clean
