"""Start, refusal to start, overload, and a stop without losing a request."""

from __future__ import annotations

import shutil
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from harmgauge.auth.keys import new_key
from tests.support.bundles import edit
from tests.support.process import NO_TLS, RAW, RunningService, run, run_here, running_service, saved_state, wait_until
from tests.support.toy import instances

SHAPE = (4, 4, 3)
KEY_LINE = new_key("somebody")[1]


def test_sigterm_answers_what_it_has_refuses_new_work_and_ends(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, max_queue_rows=200_000) as service:
        rows = instances(60_000, SHAPE)
        answers: list[httpx.Response] = []
        client = threading.Thread(
            target=lambda: answers.append(service.client.post("/score", content=rows.tobytes(), headers=RAW))
        )
        client.start()
        with httpx.Client(base_url=service.client.base_url, timeout=30, verify=NO_TLS) as other:
            assert other.get("/livez").status_code == 200
            wait_until(lambda: service.metrics()["harmgauge_batch_rows_count"][0][1] > 0)
            begin = time.monotonic()
            service.terminate()
            wait_until(lambda: service.said("draining"))
            with suppress(httpx.TransportError):  # idle connections are closed, and no new ones accepted
                refused = other.post("/score", content=rows[:1].tobytes(), headers=RAW)
                assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
            assert service.wait() == 0
        seconds = time.monotonic() - begin
        client.join()
        assert seconds < 10
        assert answers[0].status_code == 200
        assert len(answers[0].json()["scores"]) == 60_000
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{service.port}/livez", verify=NO_TLS)
        assert service.said("draining")
        assert not service.said("Traceback")


def test_what_was_sent_before_sigterm_is_answered_even_if_nobody_had_read_it(image_bundle_path: Path) -> None:
    """A stopped process reads nothing, so it finds the signal and the waiting requests at the same moment."""

    def ask(connection: socket.socket) -> None:
        connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 48\r\n\r\n" + bytes(48))

    def connect(count: int) -> list[socket.socket]:
        return [stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 10)) for _ in range(count)]

    with running_service(image_bundle_path) as service, ExitStack() as stack:
        kept = connect(4)
        for connection in kept:
            ask(connection)
            assert connection.recv(4096).startswith(b"HTTP/1.1 415")
        service.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)  # longer than the interval at which the server checks whether to exit
        fresh = connect(4)
        for connection in kept + fresh:
            ask(connection)
        service.terminate()
        service.process.send_signal(signal.SIGCONT)
        for connection in kept + fresh:
            assert connection.recv(4096).startswith(b"HTTP/1.1 503")
        assert service.wait() == 0


def test_a_client_that_never_finishes_cannot_hold_up_the_end(image_bundle_path: Path) -> None:
    with (
        running_service(image_bundle_path, drain_seconds=1) as service,
        socket.create_connection(("127.0.0.1", service.port)) as slow,
    ):
        slow.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 48\r\n\r\nabc")
        time.sleep(0.2)
        begin = time.monotonic()
        service.terminate()
        service.wait()
        assert time.monotonic() - begin < 5


def test_a_full_queue_is_refused_with_retry_after(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, max_queue_rows=64, workers=1, max_batch_rows=1) as service:
        rows = instances(60, SHAPE)
        codes: list[int] = []

        def post() -> None:
            answer = httpx.post(
                f"{service.client.base_url}/score", content=rows.tobytes(), headers=RAW, timeout=30, verify=NO_TLS
            )
            codes.append(answer.status_code)
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["code"] == "queue_full"
            else:
                assert len(answer.json()["scores"]) == 60

        def client() -> None:
            for _ in range(10):
                post()

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(codes) == {200, 429}
        accepted = codes.count(200) * 60
        assert sum(count for _, count in service.metrics()["harmgauge_instances_total"]) == accepted
        assert service.client.post("/score", content=instances(65, SHAPE).tobytes(), headers=RAW).status_code == 413


def test_a_deadline_that_passes_is_504(image_bundle_path: Path) -> None:
    with running_service(
        image_bundle_path, max_queue_rows=500_000, max_batch_rows=1, workers=1, deadline_seconds=0.5
    ) as service:
        answer = service.client.post("/score", content=instances(50_000, SHAPE).tobytes(), headers=RAW)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_passed")
        assert service.score_ks()["rows"] == 0
        assert service.score(instances(1, SHAPE))["scores"], "the rest of the queue was dropped"


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_windows_and_evidence_survive_a_restart(image_bundle_path: Path, tmp_path: Path, how: str) -> None:
    with running_service(image_bundle_path, state_dir=tmp_path) as service:
        for seed in range(15):
            service.score(instances(10, SHAPE, seed=seed))
        before = service.client.get("/drift?scores=true").json()["detectors"]
        if how == "SIGKILL":
            wait_until(lambda: saved_state(tmp_path).get("score_evidence/rows") == 150, timeout_seconds=10)
        service.process.send_signal(signal.Signals[how])
        service.wait()
    with running_service(image_bundle_path, state_dir=tmp_path) as service:
        after = service.client.get("/drift?scores=true").json()["detectors"]
        assert after["score_ks"]["scores"] == before["score_ks"]["scores"]
        assert after["score_ks"]["p_value"] == before["score_ks"]["p_value"] is not None
        assert after["score_evidence"]["statistic"] == before["score_evidence"]["statistic"]
        assert after["score_evidence"]["rows"] == 150


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bundle": "nowhere"}, "nowhere is not a bundle"),
        ({"window_rows": 0}, "HARMGAUGE_WINDOW_ROWS='0'"),
        ({"window_row": 5}, "did you mean HARMGAUGE_WINDOW_ROWS?"),
        ({"window_rows": 2}, "can never reach"),
        ({"providers": "cuda"}, "HARMGAUGE_PROVIDERS=cuda"),
        ({"precision": "int8"}, "has no int8 graph"),
        ({"tolerance": 1}, "HARMGAUGE_TOLERANCE='1'"),
        ({"rows_between_false_alarms": 90}, "too few: set at least 100"),
        ({"max_bodies_bytes": 1000}, "is smaller than the largest single body"),
        ({"admin_keys": "a-key-as-it-is"}, "HARMGAUGE_ADMIN_KEYS: key 1: expected NAME:SHA256"),
        ({"host": "0.0.0.0"}, "HARMGAUGE_HOST=0.0.0.0 is reachable from the network: set HARMGAUGE_API_KEYS"),
        ({"host": "::", "admin_keys": KEY_LINE}, "HARMGAUGE_HOST=:: is reachable from the network"),
        ({"open": "all", "api_keys": KEY_LINE}, "HARMGAUGE_API_KEYS would protect nothing"),
        ({"metrics_keys": KEY_LINE}, "HARMGAUGE_METRICS_KEYS would protect nothing"),
        ({"open": "everything"}, "HARMGAUGE_OPEN='everything'"),
        ({"flags_only": "true"}, "HARMGAUGE_FLAGS_ONLY hides what metrics and page show"),
        ({"flags_only": "true", "api_keys": KEY_LINE, "open": "metrics"}, "hides what metrics and page show"),
        ({"rows_per_second_per_key": 5}, "there are none: set HARMGAUGE_API_KEYS"),
        ({"api_keys_file": "nowhere"}, "the keys in nowhere cannot be read"),
        ({"tls_certificate": "nowhere"}, "require each other"),
        ({"tls_certificate": "nowhere", "tls_key": "nowhere"}, "cannot be used"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    image_bundle_path: Path, settings: dict[str, object], message: str
) -> None:
    for command, how in (("serve", run), ("check", run_here)):
        done = how(command, **{"bundle": image_bundle_path, **settings})
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_port_that_is_taken_is_said_with_the_remedy(image_bundle_path: Path, image_service: RunningService) -> None:
    done = run("serve", bundle=image_bundle_path, port=image_service.port)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    address = f"127.0.0.1:{image_service.port}"
    assert last.startswith(
        f"harmgauge: cannot listen on {address} (Address already in use): choose another address with"
    )
    assert "Traceback" not in done.stderr


def test_alarm_thresholds_that_the_drift_settings_do_not_give_are_refused(
    image_bundle_path: Path, tmp_path: Path
) -> None:
    for name, value in (("p_value_threshold", 1e-3), ("statistic_threshold", 0.9)):
        folder = Path(shutil.copytree(image_bundle_path, tmp_path / name))
        edit(folder, lambda manifest, name=name, value=value: manifest["drift"].update({name: value}))  # type: ignore[misc]  # a lambda's default has no type
        done = run_here("check", bundle=folder)
        assert done.returncode == 1
        assert "window_rows and rows_between_false_alarms give" in done.stderr


def test_a_damaged_bundle_is_not_served(image_bundle_path: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(image_bundle_path, tmp_path / "copy"))
    (folder / "detector.onnx").write_bytes(b"x" * 100)
    done = run("serve", bundle=folder)
    assert done.returncode == 1
    assert "detector.onnx has 100 bytes" in done.stderr


def test_check_prints_settings_and_runs_the_bundle(image_bundle_path: Path) -> None:
    done = run_here("check", bundle=image_bundle_path, window_rows=200)
    assert done.returncode == 0, done.stderr
    for expected in (
        "HARMGAUGE_WINDOW_ROWS = 200  (environment)",
        "HARMGAUGE_PORT = 8000  (default)",
        "bundle toy/1: all 9 files match their sha256",
        "ran on CPUExecutionProvider: 4 sample instances",
        "score_ks: the newest 200 rows against 600 reference rows; alarm at p <= 1.6e-05, i.e. a statistic of",
        "score_evidence: all rows so far against 600 reference rows; alarm at a statistic of 1e+06 or more",
        "score_evidence detects harmful traffic from a share of about 0.029 on, within 20,000 rows; a share of 0.1",
        "feature_mmd: the newest 500 rows against",
    ):
        assert expected in done.stdout


def test_demo_against_the_running_service(image_bundle_path: Path, image_service: RunningService) -> None:
    done = run_here("demo", bundle=image_bundle_path, port=image_service.port)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["100", "0%"] for line in lines)
    assert lines[-3].startswith("feature_mmd ")
    assert image_service.metrics()["harmgauge_requests_total"]
    missing = run_here("demo", bundle=image_bundle_path, port=1)
    assert missing.returncode == 1
    assert "run `harmgauge serve` in another terminal first" in missing.stderr
