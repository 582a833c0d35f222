"""Files in an untrusted folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from harmgauge.bundle.folder import file_sha256, file_size_bytes, read_file
from harmgauge.errors import BundleError


def test_a_file_is_read_up_to_its_limit_and_one_byte(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "note.txt").write_bytes(b"abcdef")
    assert read_file(tmp_path, "report/note.txt", 100) == b"abcdef"
    assert read_file(tmp_path, "report/note.txt", 3) == b"abcd"


def test_links_are_followed_inside_and_refused_outside(tmp_path: Path) -> None:
    """As in a mounted Kubernetes ConfigMap: `..data` links to a folder beside it, and each file through `..data`."""
    folder = tmp_path / "bundle"
    (folder / "..2026").mkdir(parents=True)
    (folder / "..2026" / "bundle.json").write_bytes(b"inside")
    (folder / "..data").symlink_to("..2026")
    (folder / "bundle.json").symlink_to("..data/bundle.json")
    assert read_file(folder, "bundle.json", 100) == b"inside"
    link = tmp_path / "current"
    link.symlink_to(folder)
    assert read_file(link, "bundle.json", 100) == b"inside"
    (tmp_path / "secret").write_bytes(b"outside")
    (folder / "samples.npz").symlink_to("../secret")
    with pytest.raises(BundleError, match="secret, outside the folder: copy the bundle together with the targets"):
        read_file(folder, "samples.npz", 100)
    (folder / "report").symlink_to(tmp_path)
    with pytest.raises(BundleError, match="outside the folder"):
        read_file(folder, "report/secret", 100)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(BundleError, match=f"{name}: it is not a regular file"):
            read_file(tmp_path, name, 100)
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    for name in ("one", "missing", "x" * 300):
        with pytest.raises(BundleError, match=f"{name} cannot be read"):
            read_file(tmp_path, name, 100)


def test_what_takes_a_files_place_before_it_is_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the check of a path and its opening, it is replaced by a pipe, or by a link that leads outside."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"outside")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "note.txt").write_bytes(b"outside")
    folder = tmp_path / "bundle"

    def exchanged(exchange: Callable[[Path], None]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "report").mkdir(parents=True)
        (folder / "report" / "note.txt").write_bytes(b"inside")
        look = os.path.realpath

        def look_and_exchange(path: Path, *, strict: bool = False) -> str:
            found = look(path, strict=strict)
            if strict:
                exchange(folder / "report")
            return found

        with monkeypatch.context() as patch:
            patch.setattr(os.path, "realpath", look_and_exchange)
            with pytest.raises(BundleError, match=r"not a regular file|cannot be read"):
                read_file(folder, "report/note.txt", 100)

    def pipe(report: Path) -> None:
        (report / "note.txt").unlink()
        os.mkfifo(report / "note.txt")

    def link(report: Path) -> None:
        (report / "note.txt").unlink()
        (report / "note.txt").symlink_to(secret)

    def folder_link(report: Path) -> None:
        shutil.rmtree(report)
        report.symlink_to(tmp_path / "elsewhere")

    for exchange in (pipe, link, folder_link):
        exchanged(exchange)


def test_a_large_file_is_hashed_in_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(64 * 2**20)
    tracemalloc.start()
    found = file_sha256(tmp_path, "large", 64 * 2**20)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == hashlib.sha256(bytes(64 * 2**20)).hexdigest()
    assert peak_bytes < 4 * 2**20
    assert file_sha256(tmp_path, "large", 1000) == hashlib.sha256(bytes(1000)).hexdigest()
    assert file_size_bytes(tmp_path, "large") == 64 * 2**20


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/../x", "a//b", "a\\b", "a\0", "a\n", "-x", ".x", "ä"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="not a valid name for a file"):
        read_file(tmp_path, name, 100)
