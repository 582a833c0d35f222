"""Writes flagged inputs to files on a thread: converts them to columns, and retries when a disk fails."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from harmgauge.capture.flagged import Flagged, Source
from harmgauge.capture.metrics import CaptureMetrics
from harmgauge.capture.named_columns import NamedColumns
from harmgauge.capture.sinks import Sink, file_name
from harmgauge.capture.table import Kept, to_batch, to_parquet
from harmgauge.inference.caller import NOWHERE
from harmgauge.observe.logs import RateLimitedWarning

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
"""Interval between checks for new rows. Each check takes the GIL for a moment, so they must be rare."""

CHUNK_REQUESTS = 64
"""Number of requests converted at once; in between, the event loop gets the GIL."""

TIDY_SECONDS = 30.0

RETRY_SECONDS = (1.0, 30.0)
"""Delay after a failed write: the first value, doubled each time, up to the second."""


@dataclass(frozen=True)
class _Part:
    """Rows converted to columns, and the memory that was counted for them."""

    batch: pa.RecordBatch
    held_bytes: int
    first_time: float


class Writer:
    """Writes a file at `file_bytes`, or `file_seconds` after its first row. All inputs match `spec`, which is the same
    for all bundles that a process serves in turn.

    `done_bytes` and `done_rows` cover everything that it no longer holds, whether written or not.
    """

    def __init__(
        self,
        place: Sink,
        name: str,
        spec: Kept,
        metrics: CaptureMetrics,
        *,
        file_bytes: int,
        file_seconds: float,
    ) -> None:
        self._place = place
        self._name = name
        self._spec = spec
        self._metrics = metrics
        self._file_bytes = file_bytes
        self._file_seconds = file_seconds
        self._token = secrets.token_hex(4)
        self._files = 0
        self._came: deque[Flagged] = deque()
        self._parts: deque[_Part] = deque()
        self.done_bytes = self.done_rows = 0
        self._failures = 0  # consecutive failures
        self._next_try = self._next_tidy = 0.0
        self._seldom = RateLimitedWarning(log)
        self._closing = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="capture", daemon=True)

    @property
    def is_failing(self) -> bool:
        return self._failures > 0

    def start(self) -> None:
        """Start the thread. Makes an empty table first, because Arrow's modules for it must not be loaded between
        requests.
        """
        spec, one = self._spec, np.zeros(1, np.int64)
        blank = spec.blank() if isinstance(spec, NamedColumns) else np.zeros((1, *spec.shape), spec.numpy_dtype)
        source = Source("", "", "", "", 0.0, ("",))
        nothing = Flagged(source, NOWHERE, 0.0, one, one.astype(np.float32), one, blank, is_all=True)
        to_parquet([to_batch([nothing], self._spec)], self._spec)
        self._thread.start()

    def take(self, kept: Flagged) -> None:
        """Queue rows; callable from any thread, at almost no cost."""
        self._came.append(kept)
        if not self._wake.is_set():
            self._wake.set()

    def finish(self, seconds: float) -> None:
        """Write everything queued and stop, within `seconds`. Nothing may be queued any more."""
        self._closing, self._next_try = True, 0.0
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _work(self) -> None:
        while not (self._closing and not self._came and not self._parts):
            self._wake.wait(GATHER_SECONDS if self._closing else 1.0)
            if not self._closing:
                time.sleep(GATHER_SECONDS)
            self._wake.clear()
            try:
                self._gather()
                while self._is_due() and self._write():
                    pass
                self._tidy()
            except Exception as error:  # the error handling itself failed, for example for lack of memory
                with suppress(Exception):
                    self._put_off(error)

    def _gather(self) -> None:
        """Convert new rows to columns, a little at a time."""
        while self._came:
            chunk, held_bytes = list[Flagged](), 0
            while self._came and len(chunk) < CHUNK_REQUESTS and held_bytes < self._file_bytes:
                chunk.append(self._came.popleft())
                held_bytes += chunk[-1].held_bytes
            try:
                self._parts.append(_Part(to_batch(chunk, self._spec), held_bytes, chunk[0].time))
            except Exception:
                rows = sum(len(kept.positions) for kept in chunk)
                log.exception("%d flagged inputs could not be converted to a table", rows)
                self._metrics.dropped("failed", rows)
                self._done(rows, held_bytes)
            del chunk  # releases the requests' bodies
            time.sleep(0.001)

    def _is_due(self) -> bool:
        if not self._parts or time.monotonic() < self._next_try:
            return False
        age_seconds = time.time() - self._parts[0].first_time
        # If the clock was set back, the age is negative: without this the rows would never be written.
        is_old = not 0 <= age_seconds < self._file_seconds
        return self._closing or is_old or sum(part.held_bytes for part in self._parts) >= self._file_bytes

    def _write(self) -> bool:
        """Write one file of the oldest parts; if this fails they are kept, and it returns False."""
        parts, held_bytes = list[_Part](), 0
        for part in self._parts:
            if parts and held_bytes + part.held_bytes > self._file_bytes:
                break
            parts.append(part)
            held_bytes += part.held_bytes
        # Every attempt uses the same name: if one failed after writing everything, its file is overwritten, not
        # duplicated.
        name = file_name(parts[0].first_time, self._token, self._files)
        try:
            self._place.write(name, to_parquet([part.batch for part in parts], self._spec))
        except Exception as error:  # any failure of a disk, a network or a store may be temporary
            self._put_off(error)
            return False
        if self.is_failing:
            log.info("flagged inputs can be written to %s again", self._name)
        self._files += 1
        self._failures, self._next_tidy = 0, 0.0
        rows = sum(part.batch.num_rows for part in parts)
        for _ in parts:
            self._parts.popleft()
        self._metrics.captured.inc(rows)
        self._done(rows, held_bytes)
        self._tidy()
        return True

    def _put_off(self, error: Exception) -> None:
        first, most = RETRY_SECONDS
        self._next_try = time.monotonic() + min(most, first * 2 ** min(self._failures, 10))
        self._failures += 1
        self._metrics.failures.inc()
        self._seldom.warn(
            "flagged inputs cannot be written to %s (%s); retrying (logged once a minute)", self._name, error
        )

    def _done(self, rows: int, held_bytes: int) -> None:
        self.done_rows += rows
        self.done_bytes += held_bytes

    def _tidy(self) -> None:
        if time.monotonic() < self._next_tidy:
            return
        self._next_tidy = time.monotonic() + TIDY_SECONDS
        try:
            self._place.tidy()
        except OSError as error:
            self._seldom.warn("old files of captured inputs in %s cannot be deleted: %s", self._name, error)
