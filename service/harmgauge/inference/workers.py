"""The threads that run batches, and the batches that wait for one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

from harmgauge.inference.batch import Batch
from harmgauge.inference.outputs import Runtime


class Jobs:
    """First in, first out, for a fixed number of workers. Of the workers that wait, the last to begin is woken first.

    Its core's caches still hold the network's weights. With a queue of the standard library, waiting workers take
    turns, so a single client moves the weights to another core with each request; and each batch wakes two workers, of
    which one finds nothing.

    Only one worker at a time is being woken: it wakes the next if there are more batches. While it waits for the
    interpreter's lock, batches that arrive need no system call.
    """

    def __init__(self, workers: int) -> None:
        self._lock = threading.Lock()
        self._batches: deque[Batch | None] = deque()
        self._idle: list[int] = []
        self._is_waking = False
        self._wake = [threading.Lock() for _ in range(workers)]
        for lock in self._wake:
            lock.acquire()  # held while its worker has nothing to do

    def put(self, batch: Batch | None) -> None:
        """Add a batch, or None to end one worker."""
        with self._lock:
            self._batches.append(batch)
            next_one = self._next_to_wake()
        if next_one is not None:
            self._wake[next_one].release()

    def get(self, worker: int) -> Batch | None:
        """The next batch for this worker, as soon as there is one; None ends it."""
        is_woken = False
        while True:
            with self._lock:
                if is_woken:
                    self._is_waking = False
                if self._batches:
                    batch = self._batches.popleft()
                    next_one = self._next_to_wake()
                    break
                self._idle.append(worker)
            self._wake[worker].acquire()
            is_woken = True
        if next_one is not None:
            self._wake[next_one].release()
        return batch

    def _next_to_wake(self) -> int | None:
        if self._is_waking or not self._idle or not self._batches:
            return None
        self._is_waking = True
        return self._idle.pop()


class Workers:
    """`count` threads; `finished` is called on `loop` after each batch."""

    def __init__(
        self, runtime: Runtime, count: int, loop: asyncio.AbstractEventLoop, finished: Callable[[Batch], None]
    ) -> None:
        self._runtime = runtime
        self._loop = loop
        self._finished = finished
        self._jobs = Jobs(count)
        self.put = self._jobs.put
        """Runs a batch after those that wait."""
        self._running: list[Batch | None] = [None] * count
        # Daemon threads: an inference that hangs must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._work, args=[index], name=f"inference-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def lost(self, timeout_seconds: float) -> int:
        """Number of threads that have ended, or have run one batch for longer than that: neither will recover."""
        due = time.perf_counter() - timeout_seconds
        return sum(
            not thread.is_alive() or (batch is not None and 0 < batch.began < due)
            for thread, batch in zip(self._threads, self._running, strict=True)
        )

    def close(self) -> None:
        """End the threads after the batches that they have been given."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self, index: int) -> None:
        while (batch := self._jobs.get(index)) is not None:
            self._running[index] = batch
            batch.run(self._runtime)
            self._running[index] = None
            try:
                self._loop.call_soon_threadsafe(self._finished, batch)
            except RuntimeError:  # the loop was closed: no request waits any more
                return
            del batch  # do not keep its requests' rows while waiting for the next batch
