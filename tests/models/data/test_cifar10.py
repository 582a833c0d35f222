"""Reading CIFAR-10: the folder, the archive, and invalid archives."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harmgauge_models.data import cifar10
from harmgauge_models.errors import UserError
from tests.support.small_cifar10 import small_files, write_archive, write_folder

Edit = Callable[[dict[str, bytes]], object]


def test_folder_and_archive_read_alike(tmp_path: Path) -> None:
    files = small_files()
    folder = cifar10.load(write_folder(tmp_path / "bin", files))
    archive = cifar10.load(write_archive(tmp_path / "cifar.tar.gz", {**files, "readme.html": b"hello"}))
    for data in (folder, archive):
        assert data.class_names[9] == "class9"
        assert len(data.class_names) == 10
        assert data.train.x.shape == (50, 32, 32, 3)
        assert data.held_out.x.shape == (5000, 32, 32, 3)
        assert data.test.x.shape == (1010, 32, 32, 3)
        assert data.test.x[7, 1, 1].tolist() == [0, 0, 77], "planes become channels"
        assert data.test.x[7, 0, 0].tolist() == [5, 0, 0]
        assert data.test.y[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    np.testing.assert_array_equal(folder.train.x, archive.train.x)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda files: files.pop("data_batch_3.bin"), "lacks data_batch_3.bin"),
        (lambda files: files.update({"test_batch.bin": files["test_batch.bin"][:-1]}), "not a whole number"),
        (lambda files: files.update({"test_batch.bin": b""}), "not a whole number"),
        (lambda files: files.update({"test_batch.bin": b"\x0a" + files["test_batch.bin"][1:]}), "label 10"),
        (lambda files: files.update({name: files[name][:3073] for name in cifar10.TRAIN_FILES}), "5 training images"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    files = small_files()
    edit(files)
    with pytest.raises(UserError, match=message):
        cifar10.load(write_folder(tmp_path / "bin", files))


def test_an_archive_that_reaches_outside_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    for name in ("../evil.bin", "/tmp/evil.bin", "a/../../evil.bin"):
        with pytest.raises(UserError, match="which no CIFAR-10 archive does"):
            cifar10.load(write_archive(tmp_path / "evil.tar.gz", small_files(), tarfile.TarInfo(name)))
    link = tarfile.TarInfo("cifar-10-batches-bin/link.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(UserError, match="link.bin"):
        cifar10.load(write_archive(tmp_path / "evil.tar.gz", small_files(), link))
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar.gz"]


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "cifar.tar.gz", small_files())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="not a readable .tar.gz|lacks"):
        cifar10.load(path)
    damaged = bytearray(write_archive(path, small_files()).read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 50] = bytes(50)
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="not a readable .tar.gz|lacks"):
        cifar10.load(path)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(UserError, match="not a readable .tar.gz"):
        cifar10.load(path)


def test_nothing_there_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--download"):
        cifar10.load(tmp_path / "nowhere")


def test_the_real_data_set(cifar10_path: Path) -> None:
    data = cifar10.load(cifar10_path)
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert data.class_names == names
    assert (len(data.train.x), len(data.held_out.x), len(data.test.x)) == (45_000, 5_000, 5_000)
    assert np.bincount(np.concatenate([data.train.y, data.held_out.y])).tolist() == [5_000] * 10
    np.testing.assert_allclose(data.train.x.mean((0, 1, 2)), [125.3, 123.0, 113.9], atol=0.5)
