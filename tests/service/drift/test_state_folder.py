"""Links, pipes and folders under the names of the drift state."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.npz import read_npz
from harmgauge.drift import state_folder, store
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.score_ks import ScoreKs
from harmgauge.drift.state import Blocks
from harmgauge.drift.store import Store

REFERENCE = np.sort(np.random.default_rng(0).normal(size=200))


def fed(rows: int = 10) -> Monitor:
    monitor = Monitor([ScoreKs(REFERENCE, 100, 10_000)])
    monitor.observe(Blocks.of(np.arange(float(rows))))
    return monitor


def rows_of(monitor: Monitor) -> int:
    return asyncio.run(monitor.states())["score_ks"].rows


@pytest.mark.parametrize("kind", ["pipe", "folder", "link out of the folder", "link to nowhere", "device"])
def test_what_is_no_file_of_the_folder_is_set_aside(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, place = tmp_path / "state", tmp_path / "state" / "drift-key.npz"
    folder.mkdir()
    asyncio.run(Store(tmp_path, "key", fed()).save())
    victim = tmp_path / "drift-key.npz"
    before = victim.read_bytes()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        (place / "within").mkdir(parents=True)
    else:
        place.symlink_to({"device": Path("/dev/zero"), "link to nowhere": Path("nowhere")}.get(kind, victim))
    monitor = fed(0)
    kept = Store(folder, "key", monitor)
    with caplog.at_level(logging.WARNING):
        kept.restore()
    assert "set aside" in caplog.text
    assert rows_of(monitor) == 0
    monitor.observe(Blocks.of(np.arange(7.0)))
    asyncio.run(kept.save())
    assert len(read_npz(place)["score_ks/scores"]) == 7
    assert not place.is_symlink()
    assert victim.read_bytes() == before
    assert len(list(folder.glob("*.broken"))) == 1


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    """Kubernetes volumes have such links."""
    asyncio.run(Store(tmp_path, "key", fed()).save())
    (tmp_path / "drift-key.npz").rename(tmp_path / "whole.npz")
    (tmp_path / "drift-key.npz").symlink_to("whole.npz")
    monitor = fed(0)
    Store(tmp_path, "key", monitor).restore()
    assert rows_of(monitor) == 10


@pytest.mark.anyio
async def test_a_folder_that_takes_the_files_place_is_logged_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = fed()
    kept = Store(tmp_path, "key", monitor)
    place = tmp_path / "drift-key.npz"
    (place / "within").mkdir(parents=True)
    with caplog.at_level(logging.INFO):
        await kept.save()
        await kept.save()
        assert [file.name for file in tmp_path.iterdir()] == [place.name]
        (place / "within").rmdir()
        place.rmdir()
        await kept.save()
    assert caplog.text.count("could not be saved") == 1
    assert caplog.text.count("can be saved in") == 1
    assert place.is_file()


@pytest.mark.anyio
async def test_nothing_under_a_name_that_was_used_before_is_followed_or_waited_for(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "drift-key.unfinished").symlink_to(victim)
    os.mkfifo(folder / "drift-key.npz.unfinished")
    await asyncio.wait_for(Store(folder, "key", fed()).save(), 10)
    assert victim.read_text() == "precious"
    assert (folder / "drift-key.npz").stat().st_mode & 0o777 == 0o600


def test_no_two_unfinished_files_have_a_name_in_common(tmp_path: Path) -> None:
    names = set()
    for _ in range(10):
        state_folder.replace(tmp_path, "drift-a.npz", lambda _: names.update(os.listdir(tmp_path)))
    assert len(names - {"drift-a.npz"}) == 10


def test_a_file_larger_than_any_state_is_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(Store(tmp_path, "key", fed()).save())
    os.truncate(tmp_path / "drift-key.npz", store.MAX_FILE_BYTES + 1)  # sparse
    monkeypatch.setattr(store, "read_npz", lambda *_: pytest.fail("it was read"))
    with caplog.at_level(logging.WARNING):
        Store(tmp_path, "key", fed(0)).restore()
    assert "expected at most" in caplog.text
