"""Locks a state folder for one process: two would silently overwrite each other's files."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from harmgauge.drift import state_folder
from harmgauge.errors import SettingsError

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

LOCK_FILE = "drift.lock"

WAIT_SECONDS = 2.0
"""Long enough for a process that is just ending. Waiting longer would not help: a running one never releases it."""

_PAUSE_SECONDS = 0.05
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_ACCESSES = (os.O_RDONLY, os.O_RDWR)
"""Read-only first: a file open for writing would prevent a disk from being remounted read-only.

But NFS locks only files open for writing (EBADF).
"""

_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_DISK_FAILS = {errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""None of these prevents a start, because a disk may be repaired while the service runs."""


class FolderLock:
    """Holds a state folder until `release`, or until the process ends for any reason."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor

    @property
    def holds(self) -> bool:
        """False if there is no folder or no lock."""
        return self._descriptor is not None

    def release(self) -> None:
        """Release the folder, once the last state is saved."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def hold(folder: Path | None, wait_seconds: float = WAIT_SECONDS) -> FolderLock:
    """Create the folder if it is missing, lock it for this process, and remove unfinished files of a process that was
    killed.

    If the disk has failed, or does not support locks, logs this once and continues without a lock. Raises SettingsError
    if the folder cannot be used, or another process holds it. Without a folder, locks nothing.
    """
    if folder is None:
        return FolderLock()
    try:
        state_folder.make(folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    lock = FolderLock()
    try:
        lock = FolderLock(_locked(folder, time.monotonic() + wait_seconds))
        state_folder.try_to_write(folder)
    except OSError as error:
        if error.errno not in _DISK_FAILS:
            lock.release()
            raise _unusable(folder, error) from error
        log.warning("HARMGAUGE_STATE_DIR=%s is not writable at the moment: %s; retrying", folder, error.strerror)
    if lock.holds:
        state_folder.remove_unfinished(folder)
    return lock


def use(folder: Path) -> Literal["free", "held", "missing"]:
    """The result that `hold` would have now, without changing anything.

    Raises SettingsError if the folder cannot be used.
    """
    try:
        if not folder.exists():
            _check_writable(next(parent for parent in folder.absolute().parents if parent.exists()))
            return "missing"
        _check_writable(folder)
        with state_folder.opened(folder) as at:
            descriptor = os.open(at.place(LOCK_FILE), os.O_RDONLY | _FLAGS, dir_fd=at.descriptor)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            return "free"  # `hold` creates it, and sets aside anything in its place
        raise _unusable(folder, error) from error
    try:
        return "held" if _is_locked_now(descriptor) is False else "free"
    finally:
        os.close(descriptor)


def _check_writable(folder: Path) -> None:
    """Raises OSError if the folder is not writable."""
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, state_folder.NO_FOLDER)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _unusable(folder: Path, error: OSError) -> SettingsError:
    reason = error.strerror or str(error)
    return SettingsError(
        f"HARMGAUGE_STATE_DIR={folder} cannot be used ({reason}): name a folder that this process can write to, or "
        "unset it"
    )


def _locked(folder: Path, until: float) -> int | None:
    """Lock the file and return its descriptor; None if locks are not supported.

    Raises OSError, and SettingsError if it is held.
    """
    access, *others = _ACCESSES
    while True:
        descriptor = _lock_file(folder, access)
        try:
            got = _is_locked_now(descriptor)
            if got and _is_in_place(folder, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if got is None and others:
            access = others.pop()
            continue
        if got is None:
            log.warning(
                "HARMGAUGE_STATE_DIR=%s does not support file locks: make sure that no other process uses it", folder
            )
            return None
        if time.monotonic() >= until:
            raise SettingsError(
                f"HARMGAUGE_STATE_DIR={folder} is in use by another process: give each process its own folder"
            )
        time.sleep(_PAUSE_SECONDS)


def _lock_file(folder: Path, access: int) -> int:
    """Open the lock file, creating it if it is missing; anything but a file is set aside. Raises OSError."""
    with state_folder.opened(folder) as at:
        place = at.place(LOCK_FILE)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(place, dir_fd=at.descriptor, follow_symlinks=False).st_mode):
                aside = state_folder.set_aside(folder, LOCK_FILE)
                log.warning("%s is not a regular file: set aside as %s", folder / LOCK_FILE, aside)
        descriptor = os.open(place, access | _FLAGS | os.O_CREAT, 0o600, dir_fd=at.descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{LOCK_FILE} is not a regular file")
    return descriptor


def _is_locked_now(descriptor: int) -> bool | None:
    """True if this process now holds the lock, False if another does, None if locks are not supported."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True


def _is_in_place(folder: Path, descriptor: int) -> bool:
    """Whether the locked file is still the one that another process would open."""
    with suppress(FileNotFoundError), state_folder.opened(folder) as at:
        there = os.stat(at.place(LOCK_FILE), dir_fd=at.descriptor, follow_symlinks=False)
        return os.path.samestat(there, os.fstat(descriptor))
    return False
