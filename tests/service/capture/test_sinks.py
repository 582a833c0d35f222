"""Files are complete or absent, readable only by their owner, and limited in number."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from harmgauge.capture.sinks import DOUBT_SECONDS, LEFTOVER_SECONDS, UNFINISHED, Folder, Remote, file_name, name_time
from harmgauge.errors import SettingsError

DATA = pa.py_buffer(b"x" * 1000)


def test_names_sort_by_time_and_tell_it() -> None:
    times = [0.0, 1763714400.25, 1763714400.250001, 1763714401.0, 4102444800.0]
    names = [file_name(at, "ff", 0) for at in times]
    assert names == sorted(names)
    assert [name_time(name) for name in names] == times
    assert name_time("report.parquet") is None


def test_only_the_owner_reads_what_is_written(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        folder = tmp_path / "deep" / "captured"
        Folder(folder, 10**6, None).write("a.parquet", DATA)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "a.parquet").stat().st_mode) == 0o600
    assert [file.name for file in folder.iterdir()] == ["a.parquet"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()  # a file cannot replace a folder
    with pytest.raises(OSError, match="directory"):
        Folder(tmp_path, 10**6, None).write("a.parquet", DATA)
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_the_oldest_files_go_once_there_are_too_many_bytes_and_nothing_else_goes(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 2500, None)
    (tmp_path / "notes.txt").write_bytes(b"y" * 5000)
    (tmp_path / "mine.parquet").write_bytes(b"y" * 5000)
    now = time.time()
    names = [file_name(now - age, "ff", 0) for age in (40, 30, 20, 10)]
    for name in (names[2], names[0], names[3], names[1]):
        folder.write(name, DATA)
    folder.tidy()
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", "mine.parquet", *names[2:]}


def test_files_that_are_too_old_go(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 10**6, 3600)
    old, young = file_name(time.time() - 3700, "ff", 0), file_name(time.time() - 3500, "ff", 0)
    for name in (old, young):
        folder.write(name, DATA)
    folder.tidy()
    assert [file.name for file in tmp_path.iterdir()] == [young]


def test_a_clock_that_jumps_deletes_nothing_until_it_has_stood_for_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Folder(tmp_path, 10**6, 3600)
    folder.write(file_name(time.time(), "ff", 0), DATA)
    now, uptime = time.time(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: now + 30 * 86_400)
    folder.tidy()
    assert len(list(tmp_path.iterdir())) == 1
    assert "the clock jumped by 2592000 s" in caplog.text
    monkeypatch.setattr(time, "time", lambda: now + 30 * 86_400 + DOUBT_SECONDS + 1)
    monkeypatch.setattr(time, "monotonic", lambda: uptime + DOUBT_SECONDS + 1)
    folder.tidy()
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_goes_and_what_another_process_still_writes_stays(tmp_path: Path) -> None:
    left, in_work = (tmp_path / f".{name}.parquet{UNFINISHED}" for name in ("left", "in-work"))
    for file in (left, in_work):
        file.write_bytes(b"half")
    long_ago = time.time() - LEFTOVER_SECONDS - 1
    os.utime(left, (long_ago, long_ago))
    Folder(tmp_path, 10**6, None).tidy()
    assert list(tmp_path.iterdir()) == [in_work]


def test_an_address_of_fsspec_takes_files() -> None:
    Remote("memory://test-places/captured").write("a.parquet", DATA)
    assert fsspec.filesystem("memory").cat("/test-places/captured/a.parquet") == DATA.to_pybytes()


def test_an_address_that_nothing_knows_is_refused_and_one_that_does_not_answer_is_not() -> None:
    with pytest.raises(SettingsError, match="HARMGAUGE_CAPTURE_DIR=nonsense://a: .*s3://"):
        Remote("nonsense://a")
    with pytest.raises(SettingsError, match="s3://"):
        Remote("sftp://host/folder")  # known, its package is not installed
    with pytest.raises(SettingsError, match="s3://bucket/folder"):
        Remote("s3://")
    Remote("s3://a-bucket/folder")
