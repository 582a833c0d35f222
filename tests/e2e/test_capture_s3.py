"""Capture to an S3 store: moto's server, in a separate environment, because it pins other libraries."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.support.process import RunningService, run, running_service, wait_until
from tests.support.toy import instances, toy_bundle

SERVER = ROOT / ".venv-s3" / "bin" / "moto_server"
ADDRESS = "s3://bucket/flagged"


@contextmanager
def running_store(port: int = 0) -> Iterator[int]:
    """An S3 store with an empty bucket, and the port that it listens on; 0 lets the system choose one."""
    if not SERVER.exists():
        if os.environ.get("CI"):
            pytest.fail("CI must have moto's S3 server: make install-s3")
        pytest.skip("moto's S3 server is not installed: make install-s3")
    process = subprocess.Popen([SERVER, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = next(found for line in process.stderr if (found := re.search(r"http://127.0.0.1:(\d+)", line)))
        assert httpx.put(f"http://127.0.0.1:{found[1]}/bucket", timeout=60).status_code == 200
        yield int(found[1])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def reach(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which Arrow finds the store."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "whatever",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


def captured(service: RunningService) -> float:
    return service.metrics()["harmgauge_captured_total"][0][1]


def test_flagged_inputs_go_to_s3_and_a_store_that_is_down_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = toy_bundle(tmp_path, percentile=50.0)
    with running_store() as port:
        reach(port, monkeypatch)
        with running_service(bundle, capture_dir=ADDRESS, capture_file_seconds=0.1) as service:
            first = sum(service.score(instances(50, (4, 4, 3)))["is_adversarial"])
            wait_until(lambda: captured(service) == first)
            service.terminate()
            assert service.wait() == 0
        page = tmp_path / "sheet.html"
        done = run("captured", ADDRESS, "--html", str(page))
        assert f"{first} flagged inputs" in done.stdout
        assert page.read_text().count("<figure>") == first
    with running_service(bundle, capture_dir=ADDRESS, capture_file_seconds=0.1) as service:
        second = sum(service.score(instances(60, (4, 4, 3)))["is_adversarial"])
        wait_until(lambda: service.metrics()["harmgauge_capture_write_failures_total"][0][1] > 0, timeout_seconds=60)
        service.score(instances(1, (4, 4, 3)))
        with running_store(port):
            wait_until(lambda: captured(service) >= second, timeout_seconds=60)
