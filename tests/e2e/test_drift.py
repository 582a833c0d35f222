"""Drift as operators see it: over HTTP and in /metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import ks_2samp

from harmgauge.auth.keys import new_key
from harmgauge.bundle.load import load
from tests.support.process import RAW, RunningService, running_service, wait_until
from tests.support.toy import instances

SHAPE = (4, 4, 3)
GOOD = instances(2, SHAPE)


def test_every_p_value_is_scipys(image_bundle_path: Path) -> None:
    reference = load(image_bundle_path).reference.scores
    with running_service(image_bundle_path) as service:
        sent: list[float] = []
        for step in range(12):
            rows = instances(23, SHAPE, seed=step)
            if step > 7:
                rows //= 3
            sent += service.score(rows)["scores"]
            metrics, drift = service.metrics(), service.score_ks(scores=True)
            rows_now = service.detector_metric("drift_window_rows")["score_ks"]
            assert drift["scores"] == sent[-100:], "the window holds the very scores that were answered"
            assert drift["rows"] == rows_now == min(len(sent), 100)
            if len(sent) < 100:
                assert drift["state"] == "warming"
                assert (drift["p_value"], drift["statistic"]) == (None, None)
                assert "harmgauge_drift_p_value" not in metrics
                assert set(service.detector_metric("drift_statistic")) == {"score_evidence"}
                continue
            expected = ks_2samp(drift["scores"], reference)
            p_value = pytest.approx(expected.pvalue, rel=1e-9)
            assert service.detector_metric("drift_p_value") == {"score_ks": p_value}
            assert service.detector_metric("drift_statistic")["score_ks"] == expected.statistic
            assert (drift["p_value"], drift["statistic"]) == (p_value, expected.statistic)
            assert drift["state"] == ("drifting" if expected.statistic >= drift["threshold"] else "ok")
            detected = service.detector_metric("drift_detected")["score_ks"]
            assert detected == (drift["state"] == "drifting")
        assert drift["state"] == "drifting", "dark images are not normal"


def test_the_evidence_alarm_over_http(image_bundle_path: Path) -> None:
    """It stays after the traffic is clean again, until somebody with the key acknowledges it."""
    (_, first), (second_key, second) = new_key("first"), new_key("second")
    keys = {"admin_keys": f"{first}, {second}", "rows_between_false_alarms": 10_000}
    with running_service(image_bundle_path, **keys) as service:
        for seed in range(5):
            service.score(instances(20, SHAPE, seed=seed))
        calm = service.client.get("/drift").json()["detectors"]["score_evidence"]
        assert (calm["state"], calm["rows"], calm["p_value"], calm["window_rows"]) == ("ok", 100, None, None)
        for seed in range(60):
            service.score(instances(20, SHAPE, seed=seed) // 3)
        service.score(instances(20, SHAPE))
        found = service.client.get("/drift").json()["detectors"]["score_evidence"]
        assert (found["state"], found["threshold"], found["tolerance"]) == ("drifting", 10_000, 0.01)
        assert found["highest"] >= 10_000
        assert service.detector_metric("drift_detected")["score_evidence"] == 1
        assert service.detector_metric("drift_statistic_threshold")["score_evidence"] == 10_000
        sign = {"higher": 1, "lower": -1}[found["direction"]]
        assert service.detector_metric("drift_direction") == {"score_evidence": sign}
        assert service.detector_metric("drift_design_effect")["score_evidence"] == found["design_effect"]
        wait_until(lambda: service.said("score_evidence is drifting"))

        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {second_key}"},
            {"Authorization": second},
        ):
            refused = service.client.post("/admin/drift/reset", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert service.client.get("/drift").json()["detectors"]["score_evidence"]["state"] == "drifting"
        done = service.client.post("/admin/drift/reset", headers={"Authorization": f"Bearer {second_key}"})
        assert done.status_code == 200, done.text
        fresh = service.client.get("/drift").json()["detectors"]
        assert (fresh["score_evidence"]["state"], fresh["score_evidence"]["rows"]) == ("ok", 0)
        assert (fresh["score_ks"]["state"], fresh["score_ks"]["rows"]) == ("warming", 0)


def test_a_client_key_counts_a_client_once(service: RunningService) -> None:
    def rows() -> int:
        return int(service.client.get("/drift").json()["detectors"]["score_evidence"]["rows"])

    before = rows()
    for client in ("a", "b", "a", "a"):
        headers = {**RAW, "X-Harmgauge-Client": client}
        assert service.client.post("/score", content=GOOD.tobytes(), headers=headers).status_code == 200
    assert rows() == before + 2 * len(GOOD)


def test_admin_is_closed_where_there_is_no_key(service: RunningService) -> None:
    refused = service.client.post("/admin/drift/reset", headers={"Authorization": "Bearer anything"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
