"""Reads files from a folder with untrusted contents: links elsewhere, pipes, devices, endless files."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from harmgauge.errors import BundleError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")

_PIECE_BYTES = 2**20

_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# Without O_NONBLOCK, opening a pipe waits for a writer. It has no effect on a regular file.
_FILE_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


class NotInFolder(OSError):
    """A link that leads outside the folder."""


class NotRegular(OSError):
    """A pipe, a device, a socket or a folder: anything but a file with an end."""


def open_file(folder: Path, name: str) -> BinaryIO:
    """Open the regular file `name` in `folder` for reading, without ever blocking.

    Links are followed only inside the folder, as in Kubernetes' volumes. Each part of the path is opened relative to
    the previous one, and must no longer be a link by then: anything replaced in the meantime is refused, not followed.
    Raises OSError, or one of the classes above if the file exists and must not be read.
    """
    inside = os.path.realpath(folder)
    place = os.path.realpath(folder / name, strict=True)
    if os.path.commonpath([inside, place]) != inside:
        raise NotInFolder(errno.EPERM, f"it links to {place}, outside the folder")
    if os.open not in os.supports_dir_fd:  # Windows
        return _regular(os.open(place, _FILE_FLAGS))
    at = os.open(inside, _FOLDER_FLAGS)
    try:
        *folders, last = Path(place).relative_to(inside).parts
        for part in folders:
            above, at = at, os.open(part, _FOLDER_FLAGS, dir_fd=at)
            os.close(above)
        return _regular(os.open(last, _FILE_FLAGS, dir_fd=at))
    finally:
        os.close(at)


def read_file(folder: Path, name: str, max_bytes: int) -> bytes:
    """The file's bytes; `max_bytes` + 1 of them if it is longer. Raises BundleError."""
    with _opened(folder, name) as stream:
        return stream.read(max_bytes + 1)


def file_size_bytes(folder: Path, name: str) -> int:
    """The file's size, without reading it. Raises BundleError."""
    with _opened(folder, name) as stream:
        return os.fstat(stream.fileno()).st_size


def file_sha256(folder: Path, name: str, max_bytes: int) -> str:
    """SHA-256 of the file's first `max_bytes` bytes, read in pieces, in hexadecimal. Raises BundleError."""
    found = hashlib.sha256()
    piece = memoryview(bytearray(_PIECE_BYTES))
    with _opened(folder, name) as stream:
        while max_bytes and (count := stream.readinto(piece[:max_bytes])):  # type: ignore[attr-defined]  # it has it
            found.update(piece[:count])
            max_bytes -= count
    return found.hexdigest()


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[BinaryIO]:
    """`open_file` for one of a bundle's files, with a separate message for each reason. Raises BundleError."""
    file = folder / name
    if _NAME.fullmatch(name) is None:
        raise BundleError(
            f"{folder} lists {name!r}, which is not a valid name for a file in it: build the bundle again"
        )
    try:
        with open_file(folder, name) as stream:
            yield stream
    except NotInFolder as error:
        raise BundleError(
            f"{file}: {error.strerror}: copy the bundle together with the targets of its links"
        ) from error
    except NotRegular as error:
        raise BundleError(f"{file}: {error.strerror}: copy the bundle again") from error
    except OSError as error:
        raise BundleError(f"{file} cannot be read ({error.strerror})") from error


def _regular(descriptor: int) -> BinaryIO:
    """A stream over an open file; if it is not a regular file, closes it and raises NotRegular."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular(errno.EINVAL, "it is not a regular file")
    return open(descriptor, "rb")
