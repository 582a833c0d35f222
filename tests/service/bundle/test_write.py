"""Replacing a bundle by another: at every moment there is a complete one."""

from __future__ import annotations

import errno
import shutil
import threading
from pathlib import Path

import pytest

from harmgauge.bundle import write
from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.write import check_rewritable, exchange, rewrite_bundle
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import verify


@pytest.fixture
def bundle(image_bundle_path: Path, tmp_path: Path) -> Bundle:
    return load(Path(shutil.copytree(image_bundle_path, tmp_path / "toy" / "copy")))


def rewrite(old: Bundle, mark: str) -> None:
    contents = {name: (old.path / name).read_bytes() for name in old.manifest.files}
    manifest = old.manifest.model_copy(update={"quality": {"mark": mark}})
    rewrite_bundle(old, manifest, contents | {"report/note.txt": mark.encode()}, verify)


def test_it_takes_the_place_and_leaves_nothing_beside_it(bundle: Bundle) -> None:
    rewrite(bundle, "new")
    new = load(bundle.path)
    assert new.manifest.quality == {"mark": "new"}
    assert (new.path / "report/note.txt").read_text() == "new"
    assert new.manifest.version == bundle.manifest.version == "1"
    assert [path.name for path in bundle.path.parent.iterdir()] == ["copy"]


def test_whoever_reads_meanwhile_reads_the_old_or_the_new_one(bundle: Bundle) -> None:
    stop, found = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            found.append((bundle.path / "bundle.json").read_bytes()[:1])

    reader = threading.Thread(target=look)
    reader.start()
    old = bundle
    for index in range(5):
        rewrite(old, str(index))
        old = load(bundle.path)
    stop.set()
    reader.join()
    assert set(found) == {b"{"}
    assert old.manifest.quality == {"mark": "4"}


def test_through_a_link_the_folder_itself_is_rewritten(bundle: Bundle) -> None:
    link = bundle.path.parent.parent / "current"
    link.symlink_to(bundle.path)
    rewrite(load(link), "linked")
    assert link.is_symlink()
    assert load(bundle.path).manifest.quality == {"mark": "linked"}


def test_what_the_service_would_refuse_never_takes_the_place(bundle: Bundle) -> None:
    contents = {name: (bundle.path / name).read_bytes() for name in bundle.manifest.files}
    with pytest.raises(BundleError, match="not a readable ONNX graph"):
        rewrite_bundle(bundle, bundle.manifest, contents | {"detector.onnx": b"no graph"}, verify)
    assert load(bundle.path).sha256 == bundle.sha256
    assert [path.name for path in bundle.path.parent.iterdir()] == ["copy"]


def test_a_bundle_that_changed_meanwhile_is_left_as_it_is(bundle: Bundle) -> None:
    manifest = bundle.path / "bundle.json"
    manifest.write_text(manifest.read_text() + "\n")
    changed = load(bundle.path).sha256
    with pytest.raises(BundleError, match="has changed in the meantime"):
        rewrite(bundle, "new")
    assert load(bundle.path).sha256 == changed


def test_a_folder_that_cannot_be_exchanged_keeps_the_old_bundle(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(write, "exchange", busy)
    with pytest.raises(BundleError, match="resource busy.*copy it"):
        rewrite(bundle, "new")
    assert load(bundle.path).sha256 == bundle.sha256


def test_files_that_are_none_of_the_bundles_are_found_early(bundle: Bundle) -> None:
    check_rewritable(bundle)
    (bundle.path / "mine.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"mine\.txt.*move it away"):
        check_rewritable(bundle)


@pytest.mark.parametrize("in_one_step", [True, False])
def test_two_folders_change_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_one_step: bool) -> None:
    if not in_one_step:
        monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    exchange(tmp_path / "one", tmp_path / "other")
    assert {path.name: [file.name for file in path.iterdir()] for path in tmp_path.iterdir()} == {
        "one": ["other"],
        "other": ["one"],
    }


def test_what_is_not_there_cannot_be_exchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "other")
