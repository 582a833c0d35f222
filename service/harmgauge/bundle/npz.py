"""Reads untrusted `.npz` files."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npy_header import read_npy_header

MAX_ARRAYS = 1000
_PIECE_BYTES = 2**20
_MOST_AT_ONCE = 2 * _PIECE_BYTES
"""Maximum size of a single read. The directory is read at once: refusing one of 100 MB took 24 s and a gigabyte."""


def read_npz(file: Path | IO[bytes], max_bytes: int | None = None) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of an `.npz` file, without unpickling, and without writing to disk.

    Checks in advance that all arrays together decompress to at most `max_bytes`, and that none declares more data than
    it has. Raises OSError if the file cannot be read, ValueError for anything else.
    """
    try:
        with _opened(file) as stream, ZipFile(cast("IO[bytes]", _InPieces(stream))) as archive:
            members = archive.infolist()
            size_bytes = sum(member.file_size for member in members)
            if max_bytes is not None and size_bytes > max_bytes:
                raise ValueError(f"it has {size_bytes} bytes uncompressed; expected at most {max_bytes}")
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(names) > MAX_ARRAYS or len(set(names)) < len(names):
                raise ValueError(f"it has two arrays with the same name, or more than {MAX_ARRAYS} arrays")
            return {name: _array(archive, member) for name, member in zip(names, members, strict=True)}
    except BadZipFile as error:
        raise ValueError(f"{error}; expected a file written by numpy.savez") from error
    # RuntimeError: "is encrypted"; NotImplementedError: a compression that zipfile does not support
    except (EOFError, zlib.error, KeyError, RuntimeError, NotImplementedError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def unpacked_bytes(file: IO[bytes]) -> int:
    """The bytes that all arrays of an `.npz` file declare to have, uncompressed. Raises ValueError."""
    try:
        with ZipFile(cast("IO[bytes]", _InPieces(file))) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (BadZipFile, OSError, NotImplementedError) as error:
        raise ValueError(f"{error}; expected a file written by numpy.savez") from error


class _InPieces:
    """A ZipFile's reads, none of them longer than a piece of an array or a directory of MAX_ARRAYS."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _MOST_AT_ONCE:
            raise BadZipFile(f"its list of names is too long, {size} bytes")
        data = self._stream.read(_MOST_AT_ONCE + 1 if size < 0 else size)
        if len(data) > _MOST_AT_ONCE:
            raise BadZipFile("its end record is too long for an archive")
        return data


@contextmanager
def _opened(file: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    if isinstance(file, Path):
        with file.open("rb") as stream:
            yield stream
    else:
        yield file


def read_npy(stream: IO[bytes], size_bytes: int) -> npt.NDArray[Any]:
    """Read the `.npy` array of `size_bytes` from a stream; raises ValueError."""
    try:
        shape, fortran_order, dtype = read_npy_header(stream)
    except ValueError as error:
        raise ValueError(f"it does not contain a valid .npy array: {error}") from error
    if dtype.hasobject:
        raise ValueError("it contains pickled objects, which are never loaded")
    due_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize  # exact: the header may claim any size
    if due_bytes != size_bytes - stream.tell():
        raise ValueError(f"an array declares {due_bytes} bytes, but {size_bytes - stream.tell()} are there")
    data = memoryview(bytearray(due_bytes))
    at = 0
    while at < due_bytes:
        count = stream.readinto(data[at : at + _PIECE_BYTES])  # type: ignore[attr-defined]  # all streams here have it
        if not count:
            raise ValueError("it ends in the middle of an array")
        at += count
    return np.ndarray(shape, dtype, data, order="F" if fortran_order else "C")


def _array(archive: ZipFile, member: ZipInfo) -> npt.NDArray[Any]:
    # LZMA, which zipfile also supports, uses as much memory as the file requests.
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{member.filename!r} is compressed in a way that NumPy does not write")
    with archive.open(member) as stream:
        return read_npy(stream, member.file_size)
