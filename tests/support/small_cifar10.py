"""CIFAR-10 with few records, as a folder and as an archive."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

from harmgauge_models.data import cifar10


def small_files(rows: int = 1010) -> dict[str, bytes]:
    """The data set's files with few records each; a record's pixels encode its file and row."""
    files = {cifar10.NAMES_FILE: "\n".join(f"class{index}" for index in range(10)).encode() + b"\n\n"}
    for number, name in enumerate([*cifar10.TRAIN_FILES, cifar10.TEST_FILE]):
        records = np.zeros((rows, cifar10.RECORD_BYTES), np.uint8)
        records[:, 0] = np.arange(rows) % 10
        records[:, 1] = number
        records[:, 1 + 1024 * 2 + 33] = 77  # blue plane, second row, second column
        files[name] = records.tobytes()
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_archive(path: Path, files: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        if extra is not None:
            archive.addfile(extra)
    return path
