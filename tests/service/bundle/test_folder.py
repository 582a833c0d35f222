"""Files of a folder that somebody else made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harmgauge.bundle.folder import read_file
from harmgauge.errors import BundleError


def test_a_file_is_read_up_to_its_limit_and_one_byte(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "note.txt").write_bytes(b"abcdef")
    assert read_file(tmp_path, "report/note.txt", 100) == b"abcdef"
    assert read_file(tmp_path, "report/note.txt", 3) == b"abcd"


def test_links_are_followed_inside_and_refused_outside(tmp_path: Path) -> None:
    """As Kubernetes has a ConfigMap: `..data` leads to a folder beside it, and each name through `..data`."""
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
    with pytest.raises(BundleError, match="secret, outside the bundle: copy the bundle with what its links lead to"):
        read_file(folder, "samples.npz", 100)
    (folder / "report").symlink_to(tmp_path)
    with pytest.raises(BundleError, match="outside the bundle"):
        read_file(folder, "report/secret", 100)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(BundleError, match=f"{name} is no regular file"):
            read_file(tmp_path, name, 100)
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    for name in ("one", "missing", "x" * 300):
        with pytest.raises(BundleError, match=f"{name} cannot be read"):
            read_file(tmp_path, name, 100)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/../x", "a//b", "a\\b", "a\0", "a\n", "-x", ".x", "ä"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="no name of a file"):
        read_file(tmp_path, name, 100)
