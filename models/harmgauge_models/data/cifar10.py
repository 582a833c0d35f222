"""CIFAR-10 (Krizhevsky, 2009) in its own binary format, from a folder or from the published archive.

A record has one label byte, then 3,072 pixel bytes: the red, green and blue planes, each 32 x 32, row by row.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from harmgauge_models.data.download import CIFAR10_MD5, CIFAR10_URL
from harmgauge_models.data.download import download as fetch
from harmgauge_models.errors import UserError

SIDE = 32
RECORD_BYTES = 1 + 3 * SIDE * SIDE
HELD_OUT_ROWS = 5_000
"""Training images reserved for the threshold and the reference; no network is trained on them."""

TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILE = "test_batch.bin"
NAMES_FILE = "batches.meta.txt"
WANTED = (*TRAIN_FILES, TEST_FILE, NAMES_FILE)

_MAX_MEMBER_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Labelled:
    """Images `x` (n, 32, 32, 3) uint8 and their labels `y` (n,) int64."""

    x: npt.NDArray[np.uint8]
    y: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cifar10:
    """`train` trains the networks, `held_out` is for threshold and reference, `test` for judging."""

    train: Labelled
    held_out: Labelled
    test: Labelled
    class_names: tuple[str, ...]


def load(path: Path | str, *, download: bool = False) -> Cifar10:
    """Read the data set from a folder of `.bin` files or from `cifar-10-binary.tar.gz`.

    `download` fetches the archive to `path` if nothing is there yet (170 MB). Raises UserError if a file is missing,
    damaged or not in this format, or cannot be fetched.
    """
    path = Path(path)
    if download:
        fetch(CIFAR10_URL, CIFAR10_MD5, path)
    files = _files(path, WANTED)
    parts = [_records(name, files[name]) for name in TRAIN_FILES]
    x, y = np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])
    if len(x) <= HELD_OUT_ROWS:
        raise UserError(f"{path} holds {len(x)} training images; expected more than {HELD_OUT_ROWS}")
    names = tuple(line.strip() for line in files[NAMES_FILE].decode("utf-8", "replace").splitlines() if line.strip())
    return Cifar10(
        train=Labelled(x[:-HELD_OUT_ROWS], y[:-HELD_OUT_ROWS]),
        held_out=Labelled(x[-HELD_OUT_ROWS:], y[-HELD_OUT_ROWS:]),
        test=_records(TEST_FILE, files[TEST_FILE]),
        class_names=names,
    )


def load_test(path: Path) -> Labelled:
    """Read only the test images, from a folder of `.bin` files or the archive; the other files may be missing.

    Raises the same errors as `load`.
    """
    return _records(TEST_FILE, _files(path, (TEST_FILE,))[TEST_FILE])


def _files(path: Path, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """The contents of all `wanted` files."""
    if path.is_dir():
        folder = path / "cifar-10-batches-bin" if (path / "cifar-10-batches-bin").is_dir() else path
        files = {name: (folder / name).read_bytes() for name in wanted if (folder / name).is_file()}
    elif path.is_file():
        files = dict(_archive_members(path, wanted))
    else:
        raise UserError(
            f"there is no CIFAR-10 at {path}: name the folder of the .bin files or cifar-10-binary.tar.gz, "
            "or add --download to fetch the archive to this path"
        )
    missing = [name for name in wanted if name not in files]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: is it CIFAR-10's binary version?")
    return files


def _records(name: str, data: bytes) -> Labelled:
    if not data or len(data) % RECORD_BYTES:
        raise UserError(
            f"{name} has {len(data)} bytes, not a whole number of {RECORD_BYTES}-byte records: fetch it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise UserError(f"{name} holds the label {labels.max()}, but CIFAR-10 ends at 9: is it CIFAR-100?")
    planes = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
    return Labelled(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)


def _archive_members(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted files of the archive, read in memory: nothing is written, so no file can escape a folder."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                    raise UserError(f"{path} holds {member.name!r}, which no CIFAR-10 archive does: fetch it again")
                if name.name not in wanted or not member.isfile():
                    continue
                if member.size > _MAX_MEMBER_BYTES:
                    raise UserError(f"{path} holds {member.name!r} of {member.size} bytes, too large for CIFAR-10")
                stream = archive.extractfile(member)
                assert stream is not None  # a regular file always has one
                yield name.name, stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise UserError(f"{path} is not a readable .tar.gz file ({error}): fetch it again") from error
