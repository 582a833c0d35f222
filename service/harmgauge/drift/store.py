"""Drift state on disk, so that windows and evidence survive a restart, including a `kill -9`.

There is one file for each bundle and precision, replaced atomically once a second while scores arrive. A file that
cannot be read, or anything else in its place, is set aside and never prevents a start. One process at a time holds the
folder: `folder_lock.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz
from harmgauge.drift import state_folder
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.window import Held

log = logging.getLogger(__name__)

SAVE_INTERVAL_SECONDS = 0.9
"""If the process dies, at most this much of the traffic is lost, plus the time of a write."""

MAX_UNPACKED_BYTES = 2**28
"""A million scores with P(wrong), class and times, and 2,000 rows of features, are far less."""

MAX_FILE_BYTES = MAX_UNPACKED_BYTES + 2**20
"""Nothing is compressed, and the name and header of an array take a few hundred bytes."""

Arrays = dict[str, npt.NDArray[Any] | Held]


class Store:
    """Saves the state of `monitor` in `folder`, under `key`: states saved under another key are never restored."""

    def __init__(self, folder: Path, key: str, monitor: Monitor) -> None:
        self._folder = folder
        self._name = f"drift-{key}.npz"
        self._file = folder / self._name
        self._monitor = monitor
        self._saved: tuple[int, ...] | None = None
        self._failed = False
        self._one_at_a_time = asyncio.Lock()

    def restore(self) -> None:
        """Restore the saved state, if there is one."""
        try:
            with state_folder.read_from(self._folder, self._name, MAX_FILE_BYTES) as stream:
                self._monitor.restore(read_npz(stream, MAX_UNPACKED_BYTES))
        except Exception as error:  # no content of the file may prevent the service from starting
            if self._is_missing(error):
                return
            try:
                aside = state_folder.set_aside(self._folder, self._name)
            except OSError as problem:
                log.warning("%s contains no usable drift state (%s)", self._file, error)
                log.warning("%s could not be set aside: %s", self._file, problem)
            else:
                log.warning("%s contains no usable drift state (%s): set aside as %s", self._file, error, aside)
        else:
            log.info("drift state restored from %s", self._file)

    def _is_missing(self, error: Exception) -> bool:
        """Whether nothing exists there, not even a dangling link."""
        return isinstance(error, FileNotFoundError) and not os.path.lexists(self._file)

    async def keep_saving(self) -> None:
        """Save until cancelled, whenever something has changed."""
        while True:
            await asyncio.sleep(SAVE_INTERVAL_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Save now, unless nothing has changed.

        A failure (for example, a full disk) is logged once, and saving is retried.
        """
        async with self._one_at_a_time:
            try:
                versions, arrays = self._monitor.dump()
                if versions == self._saved:
                    return
                await asyncio.to_thread(self._write, arrays)
            except Exception as error:
                if not self._failed:
                    log.warning("the drift state could not be saved in %s: %r; retrying", self._file, error)
                self._failed = True
            else:
                if self._failed:
                    log.info("the drift state can be saved in %s again", self._file)
                self._saved, self._failed = versions, False

    def _write(self, arrays: Arrays) -> None:
        def write(stream: BinaryIO) -> None:
            np.savez(stream, allow_pickle=False, **arrays)

        state_folder.replace(self._folder, self._name, write)
