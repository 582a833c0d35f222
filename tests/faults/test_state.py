"""The drift state's file: truncated, corrupted, on a disk that is full or read-only. The service starts, serves, and
reports it.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.npz import read_npz
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.score_ks import ScoreKs
from harmgauge.drift.store import Store
from tests.support.clients import window
from tests.support.fault_service import saved_rows, state_file
from tests.support.own_value import row
from tests.support.process import RunningService, running_service, wait_until
from tests.support.steady import Held, assert_well

REFERENCE = np.sort(np.random.default_rng(0).normal(size=200))


@pytest.fixture(scope="module")
def saved(own_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the state after the numbers 0 to 49."""
    folder = tmp_path_factory.mktemp("saved")
    with running_service(own_bundle, state_dir=folder, feature_mmd=False, max_sources=0) as service:
        for number in range(50):
            assert service.score(row(number))["scores"] == [number]
        service.terminate()
        assert service.wait() == 0
    assert saved_rows(folder) == list(range(50))
    return folder


def test_a_state_that_is_cut_at_any_byte_or_has_any_byte_changed_begins_anew(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, rounds: int
) -> None:
    def monitor() -> Monitor:
        return Monitor([ScoreKs(REFERENCE, 100, 10_000), ScoreEvidence(REFERENCE, 10_000, 0.01, seed=0)])

    data = state_file(saved).read_bytes()
    file = tmp_path / "drift-key.npz"
    caplog.set_level(logging.WARNING, "harmgauge.drift.store")
    step = 1 if rounds > 1 else 3
    # Cut before the archive's directory, it has none, wherever that is.
    directory = data.index(b"PK\x01\x02")
    sizes = [*range(0, directory, 1 if rounds > 1 else 16), *range(directory, len(data))]
    spoilt = [data[:size] for size in sizes]
    for place in range(0, len(data), step):
        spoilt.append(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
    fresh = monitor().dump()[1]
    whole = {name: array for name, array in read_npz(state_file(saved)).items() if not name.startswith("feature")}
    restored = 0
    again = monitor()
    for content in spoilt:
        caplog.clear()
        file.write_bytes(content)
        Store(tmp_path, "key", again).restore()
        if file.exists():  # a byte without a meaning was changed
            restored += 1
            _, arrays = again.dump()
            np.testing.assert_array_equal(arrays["score_ks/scores"], whole["score_ks/scores"])
            again = monitor()
        else:
            assert "contains no usable drift state" in caplog.text
            _, arrays = again.dump()
            assert len(arrays["score_ks/scores"]) == len(fresh["score_ks/scores"]) == 0
        for aside in tmp_path.glob("*.broken"):
            aside.unlink()
    assert restored < len(spoilt) / 2


def test_real_processes_start_with_a_state_that_is_cut(own_bundle: Path, saved: Path, tmp_path: Path) -> None:
    size = state_file(saved).stat().st_size
    for cut in (0, size // 2, size - 1):
        folder = Path(shutil.copytree(saved, tmp_path / str(cut)))
        os.truncate(state_file(folder), cut)
        with running_service(own_bundle, state_dir=folder, feature_mmd=False) as service:
            assert service.said("set aside")
            assert service.score(row(7))["scores"] == [7]
            assert window(service) == [7]
            service.terminate()
            assert service.wait() == 0
        assert saved_rows(folder) == [7]
        assert len(list(folder.glob("*.broken"))) == 1


def test_a_save_that_a_kill_cut_off_is_not_taken_for_the_state(own_bundle: Path, saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "copy"))
    whole = state_file(folder)
    whole.with_suffix(".unfinished").write_bytes(whole.read_bytes()[:100])
    with running_service(own_bundle, state_dir=folder, feature_mmd=False) as service:
        assert window(service) == list(range(50))
        service.process.send_signal(signal.SIGKILL)
        service.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; the test is skipped if it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def score_all(service: RunningService, numbers: range) -> None:
    for number in numbers:
        assert service.score(row(number))["scores"] == [number]


def test_a_full_disk_and_a_read_only_one(own_bundle: Path, small_disk: Path) -> None:
    with running_service(own_bundle, state_dir=small_disk, feature_mmd=False) as service:
        score_all(service, range(10))
        wait_until(lambda: saved_rows(small_disk) == list(range(10)))
        before = Held.by(service)
        filler = small_disk / "filler"
        room = os.statvfs(small_disk)
        filler.write_bytes(bytes(room.f_bfree * room.f_bsize))
        score_all(service, range(10, 20))
        wait_until(lambda: service.said("could not be saved") == 1)
        assert saved_rows(small_disk) == list(range(10)), "the state before is whole"
        filler.unlink()
        wait_until(lambda: saved_rows(small_disk) == list(range(20)))
        wait_until(lambda: service.said("can be saved in") == 1)
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        score_all(service, range(20, 30))
        wait_until(lambda: service.said("could not be saved") == 2)
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        wait_until(lambda: saved_rows(small_disk) == list(range(30)))
        assert_well(service, before)


def test_a_disk_that_is_read_only_from_the_start_stops_nothing(own_bundle: Path, small_disk: Path, saved: Path) -> None:
    shutil.copy(state_file(saved), small_disk)
    os.truncate(state_file(small_disk), 1000)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with running_service(own_bundle, state_dir=small_disk, feature_mmd=False) as service:
        assert service.said("could not be set aside") == 1
        score_all(service, range(3))
        wait_until(lambda: service.said("could not be saved") == 1)
        service.terminate()
        assert service.wait() == 0


def test_a_quota_that_is_used_up_keeps_the_state_before(own_bundle: Path, tmp_path: Path) -> None:
    with running_service(own_bundle, state_dir=tmp_path, feature_mmd=False) as service:
        score_all(service, range(10))
        wait_until(lambda: saved_rows(tmp_path) == list(range(10)))
        before = Held.by(service)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (1000, limits[1]))
        score_all(service, range(10, 20))
        wait_until(lambda: service.said("could not be saved") == 1)
        assert saved_rows(tmp_path) == list(range(10))
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, limits)
        wait_until(lambda: saved_rows(tmp_path) == list(range(20)))
        assert_well(service, before)
