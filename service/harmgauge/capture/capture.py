"""Captures flagged inputs on the event loop: passes references to a thread (`writer.py`), which does the rest.

The bytes of waiting inputs are bounded; beyond that, inputs are dropped and counted, and no request is affected.
"""

from __future__ import annotations

import asyncio
import logging

import numpy as np

from harmgauge.bundle.named_rows import AnyRows
from harmgauge.capture import flagged
from harmgauge.capture.flagged import Source
from harmgauge.capture.metrics import CaptureMetrics
from harmgauge.capture.writer import Writer
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.scorer import Scored
from harmgauge.observe.logs import RateLimitedWarning

log = logging.getLogger(__name__)


class Capture:
    """Captures a share, `ratio`, of the flagged rows, of which at most `queue_bytes` wait. Outlives each bundle.

    For use on one event loop.
    """

    def __init__(self, writer: Writer, metrics: CaptureMetrics, ratio: float, queue_bytes: int) -> None:
        self._writer = writer
        self._metrics = metrics
        self._ratio = ratio
        self._queue_bytes = queue_bytes
        self._random = np.random.default_rng()
        # Written only here, as the writer's sums are only there: their difference is the amount held, without a lock.
        self._put_bytes = self._put_rows = 0
        self._seldom = RateLimitedWarning(log)
        metrics.queue_bytes.set_function(lambda: self._put_bytes - writer.done_bytes)

    def start(self) -> None:
        """Start writing."""
        self._writer.start()

    def put(self, source: Source, rows: AnyRows, scored: Scored, caller: RequestContext) -> None:
        """Capture the flagged rows among a request's rows, or a random selection of them."""
        positions = np.flatnonzero(scored.is_adversarial)
        if self._ratio < 1 and len(positions):
            positions = positions[self._random.random(len(positions)) < self._ratio]
        if not len(positions):
            return
        writer = self._writer
        # Checked before anything is copied: a full queue takes almost no time.
        due_bytes = flagged.held_bytes(rows, len(positions))
        if self._put_bytes - writer.done_bytes + due_bytes > self._queue_bytes:
            reason = "unwritable" if writer.is_failing else "queue_full"
            self._metrics.dropped(reason, len(positions))
            self._seldom.warn("flagged inputs are being dropped: %s (logged once a minute)", reason)
            return
        try:
            kept = flagged.take(source, caller.origin, rows, scored, positions)
        except MemoryError:  # the response is ready, and is still sent
            self._metrics.dropped("failed", len(positions))
            self._seldom.warn("flagged inputs are being dropped: no memory for a copy (logged once a minute)")
            return
        self._put_bytes += due_bytes
        self._put_rows += len(positions)
        writer.take(kept)

    async def close(self, seconds: float) -> None:
        """Write everything that is waiting, within `seconds`."""
        await asyncio.to_thread(self._writer.finish, seconds)
        if lost := self._put_rows - self._writer.done_rows:
            self._metrics.dropped("shutdown", lost)
            log.warning("%d flagged inputs could not be written before shutdown", lost)
