"""The wall clock jumps, under libfaketime: windows, deadlines and rates use the monotonic clock."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.clients import counted, window
from tests.support.own_value import row
from tests.support.process import RAW, running_service, wait_until


@pytest.fixture
def jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the offset of the processes' clock, read each time that the clock is read."""
    program = shutil.which("faketime")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have faketime")
        pytest.skip("no faketime: apt install faketime")
    preload = subprocess.run(
        [program, "now", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    file = tmp_path / "clock"
    file.write_text("+0\n")
    monkeypatch.setenv("LD_PRELOAD", preload.replace("libfaketime.so", "libfaketimeMT.so"))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    return file


def test_a_clock_that_jumps_moves_no_window_and_no_deadline(own_bundle: Path, jump: Path, tmp_path: Path) -> None:
    settings = {"window_seconds": 3600, "state_dir": tmp_path / "state", "feature_mmd": False, "deadline_seconds": 5}
    with running_service(own_bundle, **settings) as service:
        sent: list[int] = []
        begin = time.monotonic()
        for offset in ("+0", "+30d", "-300d", "+0", "+3600d", "-1"):
            jump.write_text(f"{offset}\n")
            date = service.client.get("/livez").headers["date"]
            for number in range(len(sent), len(sent) + 10):
                assert service.score(row(number))["scores"] == [number]
                sent.append(number)
            assert window(service) == sent, f"at {offset}, {date}"
            assert service.client.get("/readyz").status_code == 200
            late = service.client.post(
                "/score", content=row(99).tobytes(), headers={**RAW, "X-Harmgauge-Deadline-Seconds": "4"}
            )
            assert late.status_code == 200
            sent.append(99)
            assert service.client.get("/page/state").status_code == 200
            assert service.client.get("/page/history").status_code == 200
        dates = {service.client.get("/livez").headers["date"]}
        jump.write_text("+900d\n")
        wait_until(lambda: service.client.get("/livez").headers["date"] not in dates)
        wait_until(lambda: "2029" in service.client.get("/livez").headers["date"] or time.gmtime().tm_year != 2026)
        seconds = time.monotonic() - begin
        spent = service.metrics()["harmgauge_request_seconds_sum"]
        assert all(0 <= value <= seconds for _, value in spent)
        assert counted(service) == {"200": len(sent)}
        service.terminate()
        assert service.wait() == 0
    jump.write_text("-900d\n")  # the clock went back during the stop: the saved state is new, not future
    with running_service(own_bundle, **settings) as service:
        assert not service.said("set aside")
        assert window(service) == sent
        assert service.score(row(5))["scores"] == [5]
