"""Bundles that would kill, block or bloat the process that loads them, given to the real service."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile_graphs import HOSTILE, base_bundle, hostile_bundle
from tests.support.memory import MEBIBYTE, peak_bytes, resident_bytes
from tests.support.process import RunningService, run, running_module
from tests.support.shadows import load_shadow
from tests.support.swapping import KEY_LINE, swap


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_bundle(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def service(base: Path) -> Iterator[RunningService]:
    with running_module("tests.support.strict_trial", base, {"admin_keys": KEY_LINE}) as running:
        yield running


@pytest.mark.parametrize("name", [name for name in HOSTILE if not name.startswith("slow")])
def test_it_serves_on_no_larger_than_before(service: RunningService, base: Path, tmp_path: Path, name: str) -> None:
    folder = hostile_bundle(base, tmp_path / "hostile", name)
    before_bytes = resident_bytes(service.process.pid)
    service.client.timeout = 40
    refused: list[int] = []
    loading = threading.Thread(target=lambda: refused.append(load_shadow(service, folder).status_code))
    loading.start()
    while loading.is_alive():
        assert service.client.get("/livez").status_code == 200
        loading.join(0.2)
    assert refused == [422]
    assert peak_bytes(service.process.pid) - before_bytes <= 100 * MEBIBYTE
    assert swap(service, base).json()["status"] == "unchanged", "the next load works"


def test_a_pipe_that_takes_a_files_place_blocks_nothing(service: RunningService, base: Path, tmp_path: Path) -> None:
    """The pipe and the file are exchanged repeatedly, so that sooner or later it happens between the check and the
    opening.
    """
    folder = Path(shutil.copytree(base, tmp_path / "copy"))
    os.mkfifo(folder / "pipe")
    code = (
        "import ctypes, sys; c = ctypes.CDLL(None); a, b = (name.encode() for name in sys.argv[1:])\n"
        "while True: c.renameat2(-100, a, -100, b, 2)"
    )
    exchanging = subprocess.Popen([sys.executable, "-c", code, str(folder / "bundle.json"), str(folder / "pipe")])
    try:
        for _ in range(20):
            assert load_shadow(service, folder).status_code == 422
    finally:
        exchanging.kill()
        exchanging.wait()
    assert swap(service, base).json()["status"] == "unchanged"


def test_at_start_it_is_said_in_one_line(base: Path, tmp_path: Path) -> None:
    done = run("serve", bundle=hostile_bundle(base, tmp_path / "hostile", "least integer by -1"))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "running its graph on 1 rows crashed (SIGFPE): export the graph again" in done.stderr
