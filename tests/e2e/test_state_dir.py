"""The state folder of real processes: one process per folder, and a start whatever is in it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from harmgauge.app import build
from harmgauge.errors import BundleError
from harmgauge.settings import Settings
from tests.support.process import run, run_here, running_service
from tests.support.toy import instances

SHAPE = (4, 4, 3)


def test_a_second_process_is_refused_and_the_first_serves_on(image_bundle_path: Path, tmp_path: Path) -> None:
    with running_service(image_bundle_path, state_dir=tmp_path) as service:
        refused = run("serve", bundle=image_bundle_path, port=0, state_dir=tmp_path)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert f"HARMGAUGE_STATE_DIR={tmp_path} is in use by another process" in line
        assert "its own folder" in line
        checked = run_here("check", bundle=image_bundle_path, state_dir=tmp_path)
        assert checked.returncode == 0, checked.stderr
        assert f"kept in {tmp_path}, in use by a running process" in checked.stdout
        service.score(instances(3, SHAPE))
        service.process.kill()
        service.wait()
    with running_service(image_bundle_path, state_dir=tmp_path) as after_a_kill:
        after_a_kill.score(instances(3, SHAPE))


def test_a_file_in_the_folders_place_is_found_before_the_bundle_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in ("serve", "check"):
        refused = run_here(command, bundle=tmp_path / "no-bundle", state_dir=tmp_path / "file")
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert f"HARMGAUGE_STATE_DIR={tmp_path / 'file'} cannot be used (it is not a folder)" in line


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_pipe_or_a_folder_in_the_states_place_holds_up_no_start_and_no_stop(
    image_bundle_path: Path, tmp_path: Path, kind: str
) -> None:
    with running_service(image_bundle_path, state_dir=tmp_path) as service:
        service.score(instances(3, SHAPE))
        service.terminate()
        assert service.wait() == 0
    (place,) = tmp_path.glob("drift-*.npz")
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
        os.mkfifo(place.with_suffix(".unfinished"))
    else:
        (place / "within").mkdir(parents=True)
    with running_service(image_bundle_path, state_dir=tmp_path) as service:
        assert service.said("set aside") == 1
        service.score(instances(3, SHAPE))
        service.terminate()
        assert service.wait() == 0
    assert place.is_file()


def test_a_start_that_fails_holds_nothing(image_bundle_path: Path, tmp_path: Path) -> None:
    """Programs with their own server may try again in the same process."""

    async def started(bundle: Path) -> None:
        build(Settings(bundle=bundle, workers=1, state_dir=tmp_path)).abandon()

    with pytest.raises(BundleError):
        asyncio.run(started(tmp_path / "no-bundle"))
    for _ in range(2):
        asyncio.run(started(image_bundle_path))
