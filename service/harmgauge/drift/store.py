"""Drift state on disk, so that windows and evidence survive a restart, a `kill -9` included.

One file for each bundle and precision, replaced as a whole once a second while scores come. A file that cannot be read
is set aside, and never stops a start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz
from harmgauge.drift.monitor import Monitor

log = logging.getLogger(__name__)

SAVE_INTERVAL_SECONDS = 0.9
"""At most this much of the traffic, and the time of a write, is lost with the process."""

MAX_UNPACKED_BYTES = 2**28
"""Two windows of a million scores and one of 2,000 rows of features are far less."""

Arrays = dict[str, npt.NDArray[Any]]


class Store:
    """The state of `monitor` in `folder`, under `key`: what was saved under another never comes back."""

    def __init__(self, folder: Path, key: str, monitor: Monitor) -> None:
        self._file = folder / f"drift-{key}.npz"
        self._monitor = monitor
        self._saved: tuple[int, ...] | None = None
        self._failed = False
        self._one_at_a_time = asyncio.Lock()

    def restore(self) -> None:
        """Bring back what was saved, if anything was."""
        try:
            self._monitor.restore(read_npz(self._file, MAX_UNPACKED_BYTES))
        except FileNotFoundError:
            return
        except Exception as error:  # whatever the file holds, it must not keep the service from starting
            aside = self._file.with_name(f"{self._file.name}.{time.time_ns()}.broken")
            log.warning("%s holds no drift state that can be used (%s): set aside as %s", self._file, error, aside.name)
            self._monitor.reset()
            try:
                self._file.rename(aside)
            except OSError as problem:
                log.warning("%s could not be set aside: %s", self._file, problem)
        else:
            log.info("drift state restored from %s", self._file)

    async def keep_saving(self) -> None:
        """Save for ever, whenever something changed."""
        while True:
            await asyncio.sleep(SAVE_INTERVAL_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Save now, unless nothing changed. What fails (a full disk, say) is logged once, and tried again."""
        async with self._one_at_a_time:
            try:
                versions, arrays = self._monitor.dump()
                if versions == self._saved:
                    return
                await asyncio.to_thread(self._write, arrays)
            except Exception as error:
                if not self._failed:
                    log.warning("the drift state could not be saved in %s: %r; it is tried again", self._file, error)
                self._failed = True
            else:
                if self._failed:
                    log.info("the drift state is saved again in %s", self._file)
                self._saved, self._failed = versions, False

    def _write(self, arrays: Arrays) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._file.with_suffix(".unfinished")
        with unfinished.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(self._file)
