"""Accuracy without labels and the alarm on harm, over HTTP, in /metrics, and across restarts and swaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harmgauge.bundle.load import load
from harmgauge.drift.accuracy import interval
from tests.support.bundles import edit
from tests.support.process import RAW, RunningService, run_here, running_service, saved_state, wait_until
from tests.support.shadows import load_shadow, look, promote
from tests.support.swapping import BEARER, KEY_LINE, SHAPE, swap
from tests.support.toy import instances, linear_network, toy_bundle

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bundle(tmp_path_factory.mktemp("p"), error_probability=True)


def clean(rows: int, seed: int = 3) -> Pixels:
    return instances(rows, SHAPE, seed=seed)


def dark(rows: int) -> Pixels:
    """Unlike the reference, but easy: the mean of P falls to .004."""
    darker: Pixels = clean(rows) // 3
    return darker


def bright(rows: int) -> Pixels:
    """Harmful: the mean of P rises from .10 to .24."""
    return np.maximum(clean(rows), 200)


def send(service: RunningService, rows: Pixels, each: int = 1) -> npt.NDArray[np.float32]:
    """Score the rows in requests of `each` rows; returns their P."""
    found: list[float] = []
    for start in range(0, len(rows), each):
        part = rows[start : start + each]
        answer = service.client.post(
            "/score", params={"error_probability": "true"}, content=part.tobytes(), headers=RAW
        )
        assert answer.status_code == 200, answer.text
        found += answer.json()["error_probability"]
    return np.array(found, np.float32)


def drift(service: RunningService) -> dict[str, Any]:
    answer: dict[str, Any] = service.client.get("/drift").json()
    return answer


def sum_of(service: RunningService, name: str) -> float:
    return sum(value for _, value in service.metrics()[f"harmgauge_{name}"])


def test_accuracy_over_http_is_the_formula_of_what_was_answered(bundle: Path) -> None:
    known = load(bundle).error_probability
    assert known is not None
    with running_service(bundle) as service:
        empty = drift(service)
        assert empty["accuracy_missing"] is None
        assert empty["accuracy"] == {
            "estimate": None, "lower": None, "upper": None, "base": 1 - known.base, "kappa": known.kappa, "rows": 0,
            "window_rows": 100, "classes": [],
        }  # fmt: skip
        assert "harmgauge_accuracy" not in service.metrics()
        p = send(service, np.concatenate([clean(130), bright(40)]), each=7)
        found, window = drift(service)["accuracy"], p[-100:]
        assert found["rows"] == 100
        assert found["estimate"] == pytest.approx(1 - window.mean(dtype=np.float64), abs=1e-6)
        low, high = interval(window, 1 - known.base, known.kappa)
        assert (found["lower"], found["upper"]) == pytest.approx((low, high), abs=1e-6)
        assert sum(own["rows"] for own in found["classes"]) == 100
        total = sum(own["rows"] * own["accuracy"] for own in found["classes"])
        assert total == pytest.approx(100 * found["estimate"], abs=1e-4)
        names = set(load(bundle).manifest.class_names)
        assert {own["class"] for own in found["classes"]} <= names
        gauges = {labels["bound"]: value for labels, value in service.metrics()["harmgauge_accuracy"]}
        assert gauges == {bound: found[bound] for bound in ("estimate", "lower", "upper")}
        assert sum_of(service, "accuracy_base") == 1 - known.base
        assert sum_of(service, "expected_errors_total") == pytest.approx(p.sum(), rel=1e-5)
        assert sum_of(service, "expected_errors_variance_total") == pytest.approx((p * (1 - p)).sum(), rel=1e-5)
        assert sum_of(service, "expected_errors_rows_total") == sum_of(service, "instances_total") == 170
        schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
        assert "class" in schemas["ClassAccuracyAnswer"]["properties"]
        with_scores = service.client.get("/drift", params={"scores": "true"}).json()
        assert with_scores["accuracy"] == found


def test_harm_is_silent_on_what_costs_no_accuracy_and_loud_on_what_does(bundle: Path, tmp_path: Path) -> None:
    settings = {"admin_keys": KEY_LINE, "rows_between_false_alarms": 10_000, "state_dir": tmp_path}
    with running_service(bundle, **settings) as service:
        wait_until(lambda: service.said("by more than 0.02"))
        send(service, clean(200))
        send(service, dark(400))
        calm = drift(service)["detectors"]
        assert calm["score_evidence"]["state"] == "drifting", "dark rows are unlike the reference"
        assert (calm["harm"]["state"], calm["harm"]["rows"], calm["harm"]["p_value"]) == ("ok", 600, None)
        assert calm["harm"]["accuracy_limit"] == pytest.approx(0.88, abs=1e-6)
        send(service, bright(400))
        alarm = drift(service)
        assert (alarm["detectors"]["harm"]["state"], alarm["detectors"]["harm"]["threshold"]) == ("drifting", 10_000)
        assert alarm["accuracy"]["upper"] < 0.9
        assert service.detector_metric("drift_detected")["harm"] == 1
        wait_until(lambda: service.said("harm is drifting: the estimate of accuracy has fallen by more than 0.02"))
        assert sum_of(service, "harm_log_gain_total") > 0 < sum_of(service, "harm_log_loss_total")
        wait_until(lambda: int(saved_state(tmp_path).get("harm/rows", 0)) == 1000)
        service.process.kill()
        service.wait()
    with running_service(bundle, **settings) as service:
        again = drift(service)
        assert again["detectors"]["harm"] == alarm["detectors"]["harm"]
        assert again["accuracy"] == alarm["accuracy"]
        assert sum_of(service, "drift_resets_total") == sum_of(service, "harm_log_gain_total") == 0
        assert service.client.post("/admin/drift/reset", headers=BEARER).status_code == 200
        fresh = drift(service)
        assert (fresh["detectors"]["harm"]["state"], fresh["detectors"]["harm"]["rows"]) == ("ok", 0)
        assert fresh["accuracy"]["rows"] == 0
        assert sum_of(service, "drift_resets_total") == 1
        send(service, bright(150), each=5)
        service.terminate()
        assert service.wait() == 0
    with running_service(bundle, **settings, accuracy_floor=0.6) as service:
        other = drift(service)
        assert (other["detectors"]["harm"]["rows"], other["detectors"]["harm"]["accuracy_limit"]) == (0, 0.6)
        assert (other["accuracy"]["rows"], other["detectors"]["score_evidence"]["rows"]) == (100, 150)


def without_p(bundle: Path, reason: str = "its second network saw no disturbed rows") -> Path:
    """The bundle as if it had no error probability: the graph's output is not requested then."""

    def remove(manifest: dict[str, Any]) -> None:
        manifest["error_probability"] = reason

    edit(bundle, remove)
    return bundle


def test_who_asks_for_the_alarm_gets_it_or_is_refused(bundle: Path, tmp_path: Path) -> None:
    bare = without_p(toy_bundle(tmp_path / "bare", error_probability=True))
    for setting in ({"accuracy_floor": 0.5}, {"accuracy_drop": 0.05}):
        refused = run_here("check", bundle=bare, **setting)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert "its second network saw no disturbed rows): unset HARMGAUGE_ACCURACY_" in line
    both = run_here("check", bundle=tmp_path / "none", accuracy_floor=0.5, accuracy_drop=0.05)
    assert "are both set: unset one of them" in both.stderr
    high = run_here("check", bundle=bundle, accuracy_floor=0.89)
    assert "would raise the alarm on clean traffic" in high.stderr
    good = run_here("check", bundle=bundle, accuracy_drop=0.05)
    assert good.returncode == 0, good.stderr
    assert "harm: all rows so far against 600 reference rows; alarm at a statistic of 1e+06 or more" in good.stdout
    assert "accuracy_drop 0.05; accuracy_limit 0.85" in good.stdout
    with running_service(bundle, accuracy_floor=0.6, admin_keys=KEY_LINE) as service:
        answer = swap(service, bare)
        assert answer.status_code == 422, answer.text
        assert "HARMGAUGE_ACCURACY_FLOOR is set, but has no effect" in answer.json()["detail"]
        assert drift(service)["detectors"]["harm"]["accuracy_limit"] == 0.6
    with running_service(bare) as service:
        service.score(clean(5))
        found = drift(service)
        assert (found["accuracy"], "harm" in found["detectors"]) == (None, False)
        assert found["accuracy_missing"] == "its second network saw no disturbed rows"
        assert not [name for name in service.metrics() if "accuracy" in name or "expected_errors" in name]


def test_a_shadow_has_an_accuracy_of_its_own_and_its_rows_are_counted_once(bundle: Path, tmp_path: Path) -> None:
    networks = tuple(linear_network(tmp_path / f"n{seed}.onnx", SHAPE, 3, seed, scale=0.02) for seed in (8, 9))
    (tmp_path / "toy" / "1").mkdir(parents=True)
    second = toy_bundle(tmp_path, networks=(networks[0], networks[1]), error_probability=True)
    with running_service(bundle, admin_keys=KEY_LINE) as service:
        assert load_shadow(service, second).status_code == 200
        send(service, clean(120), each=6)
        wait_until(lambda: look(service)["scored_rows"] == 120, timeout_seconds=60)
        own = look(service)
        assert (own["accuracy"]["rows"], own["accuracy_missing"]) == (100, None)
        assert own["accuracy"]["estimate"] != drift(service)["accuracy"]["estimate"]
        gauges = {labels["bound"]: value for labels, value in service.metrics()["harmgauge_shadow_accuracy"]}
        assert gauges["estimate"] == own["accuracy"]["estimate"]
        assert service.metrics()["harmgauge_shadow_drift_detected"]
        gains, rows = sum_of(service, "harm_log_gain_total"), sum_of(service, "expected_errors_rows_total")
        assert promote(service).status_code == 200
        assert drift(service)["accuracy"] == own["accuracy"], "its windows go on"
        assert sum_of(service, "harm_log_gain_total") == gains, "the bets on these rows are counted already"
        assert sum_of(service, "expected_errors_rows_total") == rows == 120
        send(service, clean(10))
        assert sum_of(service, "expected_errors_rows_total") == 130
        assert sum_of(service, "harm_log_gain_total") > gains
