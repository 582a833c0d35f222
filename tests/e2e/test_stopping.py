"""Stopping: no connection is reset, a lame duck still serves, and SIGTERM is handled at any time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.conftest import ROOT
from tests.support import connecting
from tests.support.certificates import certificate_for_loopback
from tests.support.forking import PYTHON
from tests.support.process import NO_TLS, RunningService, environment, grpc_port, run_here, running_service, wait_until
from tests.support.toy import instances

SHAPE = (4, 4, 3)
CLIENTS = 6
STOPS = 3


def stop_under_load(service: RunningService, *more: str) -> Counter[str]:
    """The outcomes of requests by six clients that open a connection for each, until nothing listens any more."""
    program = [sys.executable, connecting.__file__, str(service.port), *more]
    clients = [subprocess.Popen(program, stdout=subprocess.PIPE) for _ in range(CLIENTS)]
    answered = service.metrics
    wait_until(lambda: sum(count for _, count in answered().get("harmgauge_instances_total", [])) > 200)
    service.terminate()
    assert service.wait() == 0
    found: Counter[str] = Counter()
    for client in clients:
        output, _ = client.communicate(timeout=60)
        found += Counter(json.loads(output))
    return found


@pytest.mark.parametrize("how", ["http", "https"])
def test_no_connection_is_reset(image_bundle_path: Path, tmp_path: Path, how: str) -> None:
    """It used to reset two or three at each stop: those whose handshake ended between the last accept and the close."""
    more, settings = [], {}
    if how == "https":
        certificate, key = certificate_for_loopback(tmp_path)
        more, settings = [str(certificate)], {"tls_certificate": certificate, "tls_key": key}
    for _ in range(STOPS):
        with running_service(image_bundle_path, feature_mmd=False, **settings) as service:
            found = stop_under_load(service, *more)
        assert set(found) <= {"200", "503"}, found
        assert found["200"] > 200
        assert not service.said("ERROR"), "".join(service.log)


def test_a_lame_duck_serves_on_and_says_that_it_goes(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, lame_duck_seconds=60, grpc_port=0, drain_seconds=2) as service:
        rows = instances(3, SHAPE)
        expected = service.score(rows)["scores"]
        with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ServerReady(service_pb2.ServerReadyRequest()).ready
            service.terminate()
            wait_until(lambda: service.said("leaving: /readyz fails, requests are still served for 60 s"))
            for _ in range(3):  # new connections, and the old one
                with httpx.Client(base_url=service.client.base_url, verify=NO_TLS) as client:
                    for path in ("/readyz", "/v2/health/ready", "/v2/models/toy/ready"):
                        answer = client.get(path)
                        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
                        assert "leaving" in answer.json()["detail"]
                    assert client.get("/livez").status_code == 200
                assert service.score(rows)["scores"] == expected
            date = service.client.get("/livez").headers["date"]
            wait_until(lambda: service.client.get("/livez").headers["date"] != date)
            assert service.metrics()["harmgauge_ready"] == [({}, 0)]
            assert not stub.ServerReady(service_pb2.ServerReadyRequest()).ready
            assert stub.ServerMetadata(service_pb2.ServerMetadataRequest()).name == "harmgauge"
        assert service.process.poll() is None
        begin = time.monotonic()
        service.terminate()  # a second signal ends the lame duck
        assert service.wait() == 0
        assert time.monotonic() - begin < 20
        assert service.said("draining")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_lame_duck_goes_by_itself(image_bundle_path: Path, how: signal.Signals) -> None:
    with running_service(image_bundle_path, lame_duck_seconds=0.7, drain_seconds=2) as service:
        begin = time.monotonic()
        service.process.send_signal(how)
        assert service.wait() in (0, 130)
        assert time.monotonic() - begin > 0.7
        assert [bool(service.said(word)) for word in ("leaving", "draining", "stopped")] == [True] * 3


def test_check_says_how_long_a_stop_takes(image_bundle_path: Path) -> None:
    brief = run_here("check", bundle=image_bundle_path)
    assert "shutdown takes up to 10 s" in brief.stdout
    long = run_here("check", bundle=image_bundle_path, lame_duck_seconds=20, drain_seconds=15)
    assert "shutdown takes up to 37 s" in long.stdout
    assert "terminationGracePeriodSeconds" in long.stdout
    assert "terminationGracePeriodSeconds" not in brief.stdout


def begin_to_serve(*before: str, bundle: Path) -> subprocess.Popen[str]:
    """Start the service as a container does: as the first process of its own PID namespace, where no signal has a
    default.
    """
    return subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", *before, PYTHON, "-m", "harmgauge", "serve"],
        env=environment(bundle=bundle, port=0),
        stderr=subprocess.PIPE,
        text=True,
    )


def first_process(unshared: subprocess.Popen[str]) -> int:
    """The id of unshare's child, once it runs another program."""
    children = Path(f"/proc/{unshared.pid}/task/{unshared.pid}/children")
    wait_until(lambda: children.read_text().split())
    child = int(children.read_text().split()[0])
    wait_until(lambda: b"unshare" not in Path(f"/proc/{child}/cmdline").read_bytes())
    return child


def blocked(process: int) -> set[int]:
    mask = re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{process}/status").read_text())
    assert mask is not None
    return {number for number in range(1, 65) if int(mask[1], 16) >> number - 1 & 1}


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root may unshare"
)
@pytest.mark.parametrize("seconds", [0, 0.02, 0.1, 0.2, 0.4, 0.7, 1.0])
def test_sigterm_is_heard_however_early_it_comes(image_bundle_path: Path, seconds: float) -> None:
    """Started as in the image. By default such a process ignored SIGTERM until its imports were done."""
    with begin_to_serve("env", "--block-signal=TERM", bundle=image_bundle_path) as unshared:
        try:
            child = first_process(unshared)
            name = Path(f"/proc/{child}/comm")
            wait_until(lambda: signal.SIGTERM in blocked(child) or name.read_text() != "env\n")
            time.sleep(seconds)
            os.kill(child, signal.SIGTERM)
            _, log = unshared.communicate(timeout=30)
        finally:
            unshared.kill()
        assert unshared.returncode == 0, log
        assert "Traceback" not in log


def test_the_image_starts_with_sigterm_blocked_and_the_service_unblocks_it(image_bundle_path: Path) -> None:
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert entry is not None
    *before, command = json.loads(entry[1])
    assert command == "harmgauge"
    with subprocess.Popen(
        [*before, PYTHON, "-m", "harmgauge", "serve"],
        env=environment(bundle=image_bundle_path, port=0),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "(docs at" in line:
                break
        assert blocked(process.pid) == set(), "what it starts would inherit it"
        process.terminate()
        assert process.wait(60) == 0


def test_sigterm_ends_a_command_with_the_usual_status(image_bundle_path: Path) -> None:
    with subprocess.Popen(
        [PYTHON, "-m", "harmgauge", "demo"], env=environment(bundle=image_bundle_path, port=1), stderr=subprocess.PIPE
    ) as process:
        time.sleep(0.2)
        process.terminate()
        assert process.wait(60) in (128 + signal.SIGTERM, -signal.SIGTERM)


def test_an_orderly_stop_logs_no_error(image_bundle_path: Path, tmp_path: Path) -> None:
    """If captured rows could not be written, the watchdog used to report workers that had ended normally."""
    settings = {"capture_dir": "/proc/nowhere/captured", "capture_file_seconds": 1, "state_dir": tmp_path}
    with running_service(image_bundle_path, drain_seconds=3, **settings) as service:
        for seed in range(20):
            service.score(instances(50, SHAPE, seed=seed))
        service.terminate()
        assert service.wait() == 0
        assert not service.said("short of")
        assert not service.said("works again")
