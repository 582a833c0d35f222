"""Destinations for captured files: a local folder, or any address that Arrow and fsspec support.

Files appear atomically: in a folder, a file gets its name once it is complete; an object store shows none before that.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import fsspec
import pyarrow as pa
from pyarrow import fs

from harmgauge.errors import SettingsError

log = logging.getLogger(__name__)

SUFFIX = ".parquet"
UNFINISHED = ".unfinished"

LEFTOVER_SECONDS = 60.0
"""An unfinished file that has not been written to for this long was left by a process that has ended."""

JUMP_SECONDS = 60.0
DOUBT_SECONDS = 3600.0
"""A clock that has jumped is not trusted for this long: with a wrong one, files would be deleted for good."""

_NAME_TIME = "%Y%m%dT%H%M%S.%fZ"

_ARROWS = ("s3", "gs", "abfs", "abfss")
"""Protocols that Arrow supports itself, without the GIL. fsspec handles all others."""


class Sink(Protocol):
    """A destination for files. Used by one thread."""

    def write(self, name: str, data: pa.Buffer) -> None:
        """Write a file atomically; raises any error."""

    def tidy(self) -> None:
        """Delete files that are too many, too old, or unfinished; raises OSError."""


def file_name(first_time: float, token: str, number: int) -> str:
    """A name that sorts by the Unix time of the file's first row, and is unique to the process with this `token`."""
    return f"{datetime.fromtimestamp(first_time, UTC):{_NAME_TIME}}-{token}-{number:06d}{SUFFIX}"


def name_time(name: str) -> float | None:
    """Unix time of a captured file's first row; None for any other file."""
    with suppress(ValueError):
        return datetime.strptime(name.partition("-")[0], _NAME_TIME).replace(tzinfo=UTC).timestamp()
    return None


def is_remote(address: str) -> bool:
    return "://" in address and not address.startswith("file://")


def _ahead_seconds() -> float:
    """How far the system clock is ahead of the monotonic one."""
    return time.time() - time.monotonic()


def local_path(address: str) -> Path:
    return Path(address.removeprefix("file://"))


class Folder:
    """A local folder, private to this user: mode 0700 if it is created here, files 0600.

    Several processes may share it.
    """

    def __init__(self, path: Path, max_bytes: int, max_age_seconds: float | None) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._clock_seconds = _ahead_seconds()
        self._believed_from = time.monotonic()

    def write(self, name: str, data: pa.Buffer) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._path / f".{name}{UNFINISHED}"
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(self._path / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def tidy(self) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        now, kept_bytes = time.time(), 0
        max_age_seconds = self._max_age_seconds if self._believes_clock() else None
        for name, entry in sorted(self._ours(now), reverse=True):
            began = name_time(name)
            if began is None:
                continue
            with suppress(FileNotFoundError):  # another process may be deleting as well
                kept_bytes += entry.stat().st_size
                is_old = max_age_seconds is not None and now - began > max_age_seconds
                if is_old or kept_bytes > self._max_bytes:
                    os.unlink(entry)

    def _believes_clock(self) -> bool:
        ahead_seconds = _ahead_seconds()
        if abs(ahead_seconds - self._clock_seconds) > JUMP_SECONDS:
            log.warning(
                "the clock jumped by %.0f s: no captured file is deleted by age for an hour",
                ahead_seconds - self._clock_seconds,
            )
            self._clock_seconds, self._believed_from = ahead_seconds, time.monotonic() + DOUBT_SECONDS
        return time.monotonic() >= self._believed_from

    def _ours(self, now: float) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Complete files by name; also removes leftovers of unfinished ones."""
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    yield entry.name, entry
                elif entry.name.endswith(SUFFIX + UNFINISHED):
                    with suppress(FileNotFoundError):
                        if now - entry.stat().st_mtime > LEFTOVER_SECONDS:
                            os.unlink(entry)


class Remote:
    """A remote address. Connects at the first write: a store that does not answer cannot prevent the service from
    starting.

    Raises SettingsError if nothing supports the protocol.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._found: tuple[fs.FileSystem, str] | None = None
        _check_protocol(address)

    def write(self, name: str, data: pa.Buffer) -> None:
        if self._found is None:
            self._found = open_address(self._address)
            filesystem, path = self._found
            if isinstance(filesystem, fs.PyFileSystem):  # never creates a bucket; that is up to its owner
                filesystem.create_dir(path)
        filesystem, path = self._found
        if isinstance(filesystem, fs.PyFileSystem):
            filesystem.handler.fs.pipe_file(f"{path}/{name}", data.to_pybytes())
        else:
            stream = filesystem.open_output_stream(f"{path}/{name}")
            stream.write(data)
            stream.close()  # completes the file; a `with` would do so even after a failure

    def tidy(self) -> None:
        """Does nothing: the store's own rule deletes files."""


def _check_protocol(address: str) -> None:
    protocol, _, path = address.partition("://")
    if not path:
        raise SettingsError(
            f"HARMGAUGE_CAPTURE_DIR={address} has no path: expected an address such as s3://bucket/folder"
        )
    if protocol in _ARROWS:
        return
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"HARMGAUGE_CAPTURE_DIR={address}: {error}; a folder, s3:// and gs:// need no additional packages"
        ) from None


def open_address(address: str) -> tuple[fs.FileSystem, str]:
    """The file system of a folder or a URL, and the path in it.

    Raises SettingsError, and OSError if it does not answer.
    """
    if not is_remote(address):
        return fs.LocalFileSystem(), str(local_path(address).resolve())
    _check_protocol(address)
    if address.partition("://")[0] in _ARROWS:
        filesystem, path = fs.FileSystem.from_uri(address)
    else:
        found, path = fsspec.core.url_to_fs(address)
        filesystem = fs.PyFileSystem(fs.FSSpecHandler(found))
    return filesystem, path.rstrip("/")
