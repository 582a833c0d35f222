"""Files in the state folder, which may contain anything: links elsewhere, or pipes and folders with the expected
names.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harmgauge.bundle.folder import open_file

log = logging.getLogger(__name__)

MODE = 0o700
"""Mode of a new folder: scores are private."""

NO_FOLDER = "it is not a folder"

_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_UNFINISHED = re.compile(r"drift-[^/]+\.unfinished")
_HAS_DESCRIPTORS = {os.open, os.rename, os.unlink, os.stat} <= os.supports_dir_fd
"""False on Windows."""


@dataclass(frozen=True)
class OpenFolder:
    """An open folder, which stays the same one even if its path is replaced."""

    path: Path
    descriptor: int | None
    """None if the system cannot open files relative to a folder."""

    def place(self, name: str) -> str:
        """The path to pass to a function of `os`, together with `descriptor`."""
        return name if self.descriptor is not None else str(self.path / name)


@contextmanager
def opened(folder: Path) -> Iterator[OpenFolder]:
    """Open a folder. Raises OSError if it is not a readable folder."""
    if not _HAS_DESCRIPTORS:
        yield OpenFolder(folder, None)
        return
    descriptor = os.open(folder, _FOLDER_FLAGS)
    try:
        yield OpenFolder(folder, descriptor)
    finally:
        os.close(descriptor)


def make(folder: Path) -> None:
    """Create the folder unless it exists. Raises OSError."""
    try:
        folder.mkdir(MODE, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, NO_FOLDER, str(folder)) from error


def try_to_write(folder: Path) -> None:
    """Raises OSError if the folder is not writable."""
    with _new_file(folder, "drift-trial"):
        pass


def read_from(folder: Path, name: str, max_bytes: int) -> BinaryIO:
    """Open the regular file `name` without blocking.

    Raises OSError, and ValueError if it is larger than `max_bytes`.
    """
    stream = open_file(folder, name)
    size_bytes = os.fstat(stream.fileno()).st_size
    if size_bytes > max_bytes:
        stream.close()
        raise ValueError(f"it has {size_bytes} bytes; expected at most {max_bytes}")
    return stream


def replace(folder: Path, name: str, write: Callable[[BinaryIO], None]) -> None:
    """Replace `name` with a new file atomically. Raises OSError, and the exceptions of `write`.

    Until then the file has an unpredictable name: anything planted there is neither followed nor waited for.
    """
    make(folder)
    with _new_file(folder, name) as (at, unfinished, stream):
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
        os.replace(at.place(unfinished), at.place(name), src_dir_fd=at.descriptor, dst_dir_fd=at.descriptor)


@contextmanager
def _new_file(folder: Path, name: str) -> Iterator[tuple[OpenFolder, str, BinaryIO]]:
    """A file under a temporary name, which is removed at the end unless it was renamed."""
    unfinished = f"{name}.{secrets.token_hex(8)}.unfinished"
    with opened(folder) as at:
        descriptor = os.open(at.place(unfinished), _NEW_FLAGS, 0o600, dir_fd=at.descriptor)
        try:
            with open(descriptor, "wb") as stream:
                yield at, unfinished, stream
        finally:
            with suppress(OSError):
                os.unlink(at.place(unfinished), dir_fd=at.descriptor)


def set_aside(folder: Path, name: str) -> str:
    """Rename whatever `name` is (a file, a link, a pipe, a folder). Returns the new name; raises OSError."""
    aside = f"{name}.{time.time_ns()}.broken"
    with opened(folder) as at:
        os.rename(at.place(name), at.place(aside), src_dir_fd=at.descriptor, dst_dir_fd=at.descriptor)
    return aside


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files of a process that was killed. Only for the process that holds the folder's lock."""
    with suppress(OSError), opened(folder) as at:
        for name in os.listdir(folder if at.descriptor is None else at.descriptor):
            if _UNFINISHED.fullmatch(name) is None:
                continue
            with suppress(OSError):
                if stat.S_ISREG(os.stat(at.place(name), dir_fd=at.descriptor, follow_symlinks=False).st_mode):
                    os.unlink(at.place(name), dir_fd=at.descriptor)
                    log.info("removed %s, which an earlier process left unfinished", folder / name)
