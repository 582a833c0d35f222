"""The classifier's features over HTTP: those in the window, their picture, and the detector on them."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.manifold import Isomap

from harmgauge.bundle.load import load
from tests.support.process import RunningService, run_here, running_service, saved_state, wait_until
from tests.support.toy import instances, toy_bundle

SHAPE = (4, 4, 3)


def detector(service: RunningService) -> dict[str, Any]:
    found: dict[str, Any] = service.client.get("/drift").json()["detectors"]["feature_mmd"]
    return found


def features(service: RunningService) -> Any:
    answer = service.client.get("/drift/features")
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def test_warming_then_ok_then_drifting(image_bundle_path: Path) -> None:
    """On a linear network, whose features are its input."""
    with running_service(image_bundle_path, feature_window_rows=50, rows_between_false_alarms=100_000) as service:
        rows = instances(70, SHAPE)
        for start in range(0, 49, 7):
            service.score(rows[start : start + 7])
        warming = detector(service)
        assert (warming["state"], warming["rows"], warming["p_value"]) == ("warming", 49, None)
        assert "feature_mmd" not in service.detector_metric("drift_p_value")
        service.score(rows[49:])
        np.testing.assert_array_equal(features(service), rows[20:].reshape(50, 48))
        wait_until(lambda: detector(service)["state"] == "ok")
        ok = detector(service)
        assert (ok["threshold"], ok["p_value_threshold"], ok["window_rows"]) == (None, 1e-4, 50)
        assert service.detector_metric("drift_p_value")["feature_mmd"] == ok["p_value"] > 1e-4
        assert service.detector_metric("drift_p_value_threshold")["feature_mmd"] == 1e-4

        def drifting() -> bool:
            service.score(rows // 3)
            return bool(detector(service)["state"] == "drifting")

        wait_until(drifting)
        assert service.detector_metric("drift_detected")["feature_mmd"] == 1
        assert detector(service)["p_value"] == 1e-4


def test_picture_is_scikit_learns(image_bundle_path: Path) -> None:
    reference = load(image_bundle_path).reference
    assert reference.features is not None
    isomap = Isomap(n_neighbors=reference.neighbours, n_components=2, eigen_solver="dense")
    isomap.fit(reference.features.astype(np.float64))
    with running_service(image_bundle_path) as service:
        empty = service.client.get("/drift/embedding").json()
        assert (empty["model"], empty["version"], empty["recent"]) == ("toy", "1", [])
        rows = instances(30, SHAPE, seed=5)
        service.score(rows)
        found = service.client.get("/drift/embedding").json()
    np.testing.assert_allclose(found["reference"], isomap.embedding_, atol=0.01)
    expected = isomap.transform(rows.reshape(30, 48).astype(np.float64))
    np.testing.assert_allclose(found["recent"], expected, atol=0.01)


def test_not_offered_without_features(tmp_path: Path) -> None:
    folder = toy_bundle(tmp_path, features="none")
    assert load(folder).manifest.features is None
    with running_service(folder) as service:
        service.score(instances(3, SHAPE))
        assert "feature_mmd" not in service.client.get("/drift").json()["detectors"]
        for path in ("/drift/features", "/drift/embedding"):
            answer = service.client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_offered")


def test_can_be_turned_off(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, feature_mmd="false") as service:
        service.score(instances(3, SHAPE))
        assert "feature_mmd" not in service.client.get("/drift").json()["detectors"]
        assert service.client.get("/drift/features").status_code == 404


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_window_and_alarm_survive_a_restart(image_bundle_path: Path, tmp_path: Path, how: str) -> None:
    rows, settings = instances(50, SHAPE) // 3, {"state_dir": tmp_path, "feature_window_rows": 50}
    with running_service(image_bundle_path, **settings) as service:
        service.score(rows)
        wait_until(lambda: detector(service)["state"] == "drifting")
        before = detector(service)
        wait_until(lambda: bool(saved_state(tmp_path).get("feature_mmd/drifting")), timeout_seconds=10)
        service.process.send_signal(signal.Signals[how])
        service.wait()
    with running_service(image_bundle_path, **settings) as service:
        np.testing.assert_array_equal(features(service), rows.reshape(50, 48))
        after = detector(service)
        for name in ("state", "p_value", "statistic", "since", "tested_at"):
            assert after[name] == before[name]
        assert service.detector_metric("drift_detected")["feature_mmd"] == 1


def test_settings_that_cannot_alarm_are_refused(image_bundle_path: Path) -> None:
    done = run_here("check", bundle=image_bundle_path, rows_between_false_alarms=900)
    assert done.returncode == 1
    assert "HARMGAUGE_FEATURE_WINDOW_ROWS" in done.stderr
    assert "HARMGAUGE_FEATURE_MMD=false" in done.stderr
    good = run_here("check", bundle=image_bundle_path, rows_between_false_alarms=10**9)
    assert "features: 48 per instance" in good.stdout
    assert "feature_mmd: the newest 500 rows against 600 reference rows; alarm at p <= 5e-05" in good.stdout
    assert "rows_between_tests 250000" in good.stdout
