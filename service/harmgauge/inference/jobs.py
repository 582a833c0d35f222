"""The batches that wait for a worker, and the workers that wait for a batch."""

from __future__ import annotations

import threading
from collections import deque

from harmgauge.inference.batch import Batch


class Jobs:
    """First in, first out, for a fixed number of workers. Of the workers that wait, the last to begin gets the next.

    Its core's caches still hold the network's weights. With a queue of the standard library, waiting workers take
    turns, so a single client moves the weights to another core with each request.
    """

    def __init__(self, workers: int) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Batch | None] = deque()
        self._idle: list[int] = []
        self._given: list[Batch | None] = [None] * workers
        self._wake = [threading.Lock() for _ in range(workers)]
        for lock in self._wake:
            lock.acquire()  # held while there is nothing for its worker

    def put(self, batch: Batch | None) -> None:
        """Add a batch, or None to end one worker."""
        with self._lock:
            if not self._idle:
                self._waiting.append(batch)
                return
            worker = self._idle.pop()
            self._given[worker] = batch
        self._wake[worker].release()

    def get(self, worker: int) -> Batch | None:
        """The next batch for this worker, as soon as there is one; None ends it."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(worker)
        self._wake[worker].acquire()
        batch, self._given[worker] = self._given[worker], None
        return batch
