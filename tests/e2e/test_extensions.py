"""A new drift detector and a new kind of second network, one file each, appear wherever the built-in ones do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.load import load
from harmgauge.drift.from_bundle import DETECTORS
from harmgauge.inference.scorer import Scorer
from harmgauge_models import Options, build
from harmgauge_models.evaluation.evaluate import NUMBERS_FILE, PAGE_FILE, evaluate
from harmgauge_models.evaluation.evaluate import Options as EvaluateOptions
from tests.support import toy_drift, toy_second
from tests.support.few_rows import few_judged, few_windows
from tests.support.not_drawn import figures_not_drawn
from tests.support.process import RunningService, run_here, running_module, running_service
from tests.support.toy import instances, linear_network

SHAPE = (16, 16, 3)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with the toy second network, built from Python."""
    folder = tmp_path_factory.mktemp("indifferent")
    x = instances(600, SHAPE, seed=1)
    # An image with more of everything is no different to this second network, but the classifier is surer of it.
    np.savez(folder / "samples.npz", clean=x[:200] // 4, corrupted=x[:200])
    np.savez(folder / "calibration.npz", x=x // 4)
    with few_judged():
        return build(
            Options(
                classifier=linear_network(folder / "classifier.onnx", SHAPE, 3, 1, scale=0.02),
                calibration=folder / "calibration.npz",
                samples=folder / "samples.npz",
                detector=toy_second.NAME,
                name="toy",
                out=folder,
                window_rows=100,
                say=lambda _: None,
            )
        )


@pytest.fixture(scope="module")
def service(bundle: Path) -> Iterator[RunningService]:
    """A service with the toy drift detector, added by its one line."""
    with running_module("tests.support.toy_drift", bundle, {}, fresh=False) as running:
        yield running


def test_a_new_kind_of_second_network_is_served_and_shown(bundle: Path) -> None:
    manifest = load(bundle).manifest
    assert manifest.detector == "indifferent"
    assert manifest.score == {"loss": "kld", "temperature": 1.0, "prior": "uniform"}
    checked = run_here("check", bundle=bundle)
    assert "indifferent: loss kld, temperature 1.0, prior uniform" in checked.stdout
    with running_service(bundle) as service:
        info = service.client.get("/info").json()
        assert (info["detector"], info["score"]["prior"]) == ("indifferent", "uniform")
        ((labels, _),) = service.metrics()["harmgauge_bundle_info"]
        assert labels["detector"] == "indifferent"
        samples = np.load(bundle / "samples.npz")
        low, high = (np.mean(service.score(samples[name][:40])["scores"]) for name in ("clean", "corrupted"))
        assert high > low > 0


def test_a_new_drift_detector_is_wherever_the_others_are(service: RunningService, bundle: Path) -> None:
    before = service.client.get("/drift").json()["detectors"]
    assert list(before) == ["score_ks", "score_evidence", "feature_mmd", "mean_score"]
    assert (before["mean_score"]["state"], before["mean_score"]["statistic"]) == ("warming", None)
    demo = run_here("demo", bundle=bundle, port=service.port)
    assert demo.returncode == 0, demo.stderr
    assert any(line.startswith("mean_score fired at image ") for line in demo.stdout.splitlines()), demo.stdout
    found = service.client.get("/drift").json()["detectors"]["mean_score"]
    assert found["state"] == "drifting"
    assert found["highest_score"] > found["statistic"] > found["threshold"]
    for name, value in (
        ("drift_statistic", found["statistic"]),
        ("drift_statistic_threshold", found["threshold"]),
        ("drift_detected", 1),
        ("drift_window_rows", 50),
    ):
        assert service.detector_metric(name)["mean_score"] == value
    assert set(service.detector_metric("drift_lowest_score")) == {"mean_score"}
    page = service.client.get("/page/state").json()
    assert page["detectors"]["mean_score"] == found
    assert {"mean_score.state", "mean_score.log10"} <= set(service.client.get("/page/history").json())


def test_both_are_in_the_report(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harmgauge.drift.from_bundle.DETECTORS", [*DETECTORS, toy_drift.from_bundle])
    x = instances(300, SHAPE, seed=2) // 4
    y = Scorer(load(bundle), "cpu").score(x).predictions
    y[::10] = (y[::10] + 1) % 3
    np.savez(tmp_path / "test.npz", x=x, y=y)
    with figures_not_drawn(), few_windows():
        evaluate(EvaluateOptions(bundle, tmp_path / "test.npz", tmp_path / "work", quick=True, say=lambda _: None))
    quality = json.loads((bundle / NUMBERS_FILE).read_text())
    assert quality["bundle"]["detector"] == "indifferent"
    delays = quality["delays"]["detectors"]["mean_score"]
    assert delays["none"]["0"]["alarms"] == 0
    text = (bundle / PAGE_FILE).read_text()
    assert "Detector: indifferent." in text
    assert "mean_score" in text
    assert load(bundle).manifest.detector == "indifferent"
