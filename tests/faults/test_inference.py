"""Inference that raises, hangs, returns NaN, or loses its thread."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.support import faulty
from tests.support.bundles import edit
from tests.support.clients import counted, rows_counted, window
from tests.support.fault_service import answer_of, faulty_service, live, post, send
from tests.support.own_value import row
from tests.support.process import wait_until
from tests.support.steady import Held, assert_well
from tests.support.swapping import KEY_LINE, swap

SOON = "X-Harmgauge-Deadline-Seconds: 0.5"


def test_what_fails_costs_nobody_else_his_answer(own_bundle: Path, release: Path) -> None:
    with faulty_service(own_bundle, workers=1) as service:
        before = Held.by(service)
        first = send(service, 1, faulty.HANG)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 1)])
        second = send(service, 2)  # alone in its batch; all that arrive now go together
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 2)])
        asked = [0, faulty.RAISE, 0, faulty.NOT_A_NUMBER, 0, faulty.END_THE_THREAD, 0, faulty.NO_PROBABILITY] * 2
        together = [send(service, 10 + index, asks) for index, asks in enumerate(asked)]
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 2 + len(asked))])
        release.touch()
        for number, connection in ((1, first), (2, second)):
            assert f'"scores":[{number}.0]'.encode() in answer_of(connection)
        codes = {
            faulty.RAISE: b"inference_failed",
            faulty.END_THE_THREAD: b"inference_failed",
            faulty.NOT_A_NUMBER: b"non_finite_score",
            faulty.NO_PROBABILITY: b"non_finite_score",
        }
        for index, (asks, connection) in enumerate(zip(asked, together, strict=True)):
            answer = answer_of(connection)
            if asks in codes:
                assert answer.startswith(b"HTTP/1.1 500"), answer
                assert codes[asks] in answer
                assert b"secret" not in answer
            else:
                assert f'"scores":[{10 + index}.0]'.encode() in answer
        good = [0, 1, 2, *(10 + index for index, asks in enumerate(asked) if not asks)]
        assert sorted(window(service)) == good
        assert counted(service) == {"200": len(good), "500": 8}
        assert rows_counted(service) == len(good)
        reasons = {labels["reason"]: value for labels, value in service.metrics()["harmgauge_rejected_total"]}
        assert (reasons["inference_failed"], reasons["non_finite_score"]) == (4, 4)
        assert live(service) == (200, 200), "an input that fails is no broken graph"
        time.sleep(1.5)
        assert live(service) == (200, 200)
        assert_well(service, before)


def test_a_graph_that_fails_on_everything_takes_no_work_until_it_runs_again(
    own_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    monkeypatch.setenv(faulty.BROKEN, str(broken))
    with faulty_service(own_bundle) as service:
        before = Held.by(service)
        broken.touch()
        assert post(service, 1).json()["code"] == "inference_failed"
        wait_until(lambda: live(service) == (503, 503))
        refused = post(service, 2)
        assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
        assert "fails on every input" in service.client.get("/livez").json()["detail"]
        assert service.metrics()["harmgauge_alive"] == service.metrics()["harmgauge_ready"] == [({}, 0)]
        broken.unlink()
        wait_until(lambda: live(service) == (200, 200))
        wait_until(lambda: service.said("the service works again"))
        assert_well(service, before)
        assert window(service) == [0, 4_000_000]


def test_a_hang_ends_in_deadlines_then_not_ready_then_not_alive(own_bundle: Path, release: Path) -> None:
    limits = {"workers": 1, "deadline_seconds": 2.5, "inference_timeout_seconds": 8, "max_queue_rows": 20}
    with faulty_service(own_bundle, **limits) as service:
        before = Held.by(service)
        hanging = send(service, 1, faulty.HANG)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 1)])
        crowd = [send(service, number) for number in range(2, 40)]
        answers = [answer_of(connection)[:12] for connection in [hanging, *crowd]]
        assert answers.count(b"HTTP/1.1 504") == 20
        assert answers.count(b"HTTP/1.1 429") == 19
        assert live(service) == (200, 200), "it may only be slow"
        wait_until(lambda: live(service) == (503, 503), timeout_seconds=30)
        detail = service.client.get("/livez").json()["detail"]
        assert "1 of its 1 workers" in detail
        assert service.client.get("/v2/health/live").status_code == 503
        assert post(service, 50).status_code == 503
        release.touch()
        wait_until(lambda: live(service) == (200, 200))
        assert window(service) == [0], "those that hung were told that they failed"
        assert_well(service, before)


def test_another_bundle_brings_a_service_back_whose_inference_hangs(
    own_bundle: Path, release: Path, tmp_path: Path
) -> None:
    good = shutil.copytree(own_bundle, tmp_path / "2")
    edit(good, lambda manifest: manifest.update(version="2"))
    limits = {"workers": 1, "inference_timeout_seconds": 1, "admin_keys": KEY_LINE}
    with faulty_service(own_bundle, **limits) as service:
        assert answer_of(send(service, 1, faulty.HANG, SOON)).startswith(b"HTTP/1.1 504")
        wait_until(lambda: live(service) == (503, 503))
        assert post(service, 2).json()["code"] == "not_ready"
        answer = swap(service, good)
        assert (answer.status_code, answer.json().get("version")) == (200, "2"), answer.text
        wait_until(lambda: live(service) == (200, 200))
        assert service.score(row(3))["scores"] == [3]
        release.touch()


def test_a_hang_does_not_hold_up_the_end(own_bundle: Path, release: Path) -> None:
    with faulty_service(own_bundle, workers=1, deadline_seconds=30, drain_seconds=1) as service:
        hanging = [send(service, number, faulty.HANG) for number in (1, 2)]
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 2)])
        begin = time.monotonic()
        service.terminate()
        for connection in hanging:
            answer = answer_of(connection)
            assert answer.startswith(b"HTTP/1.1 503"), answer
            assert b"connection: close" in answer.lower()
        assert service.wait() == 0
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_is_noticed(own_bundle: Path, workers: int) -> None:
    with faulty_service(own_bundle, workers=workers) as service:
        assert answer_of(send(service, 1, faulty.KILL_THE_WORKER, SOON)).startswith(b"HTTP/1.1 504")
        wait_until(lambda: service.client.get("/livez").status_code == 503)
        if workers == 2:
            assert service.client.get("/readyz").status_code == 200, "the other one works"
            for number in range(10, 20):
                assert service.score(row(number))["scores"] == [number]
        else:
            assert post(service, 2).json()["code"] == "not_ready"
        service.terminate()
        assert service.wait() == 0


def test_drift_that_cannot_be_computed_costs_no_score_and_comes_back(
    own_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All periodic tasks continue: the drift update, the recorder, and the saving of state."""
    failing = tmp_path / "failing"
    monkeypatch.setenv(faulty.DRIFT, str(failing))
    settings = {"drift_interval_seconds": 0.2, "feature_mmd": False, "state_dir": tmp_path / "state"}
    with faulty_service(own_bundle, **settings) as service:
        failing.touch()
        for number in range(1, 120):
            assert service.score(row(number))["scores"] == [number]
        wait_until(lambda: service.said("could not be computed") >= 2)
        assert service.client.get("/metrics").status_code == 503
        assert live(service) == (200, 200)
        failing.unlink()
        wait_until(lambda: service.said("score_ks is drifting"))
        assert window(service) == list(range(20, 120))
        assert service.metrics()["harmgauge_queue_rows"] == [({}, 0)]
