"""Scores rows again with a second graph after the first has answered them, without delaying the first.

No answer waits for it: rows arrive here after they were answered, run through the graph in small batches on a separate
thread of the lowest priority, and start only while the served graph is idle. Rows that do not fit in the meantime are
shed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from typing import Protocol

import numpy as np

from harmgauge.bundle.named_rows import AnyRows, held_bytes
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.caller import RequestContext
from harmgauge.inference.outputs import Outputs, Runtime
from harmgauge.inference.scorer import Listener, RequestScorer, Scored

MAX_WAITING_BYTES = 64 * 2**20
"""Limit on all rows that wait here, including the bodies that they belong to."""

MAX_WAITING_REQUESTS = 256
"""Limit on waiting requests: accepting one costs the event loop a task, shedding it takes almost no time."""

LOOK_SECONDS = 0.02
"""How often a batch checks whether the served graph is idle."""

NICE = 19
"""The lowest priority."""


class Observer(Protocol):
    """Called for each request, on the event loop."""

    def scored(self, served: Scored, shadow: Scored) -> None: ...
    def shed(self, rows: int) -> None: ...
    def failed(self, rows: int, error: Exception) -> None: ...


class Mirror:
    """`put` accepts the answers of `served`; `listener` receives the results of `runtime` for them.

    At most `max_rows`, MAX_WAITING_REQUESTS and MAX_WAITING_BYTES wait. Use and close it on the running loop.
    """

    def __init__(
        self,
        runtime: Runtime,
        threshold: np.float32,
        served: Batcher,
        observer: Observer,
        listener: Listener,
        *,
        batch_rows: int,
        max_rows: int,
    ) -> None:
        self._runtime = _AtRest(runtime, served)
        self._batcher = Batcher(self._runtime, 1, batch_rows, max_rows, _Nobody())
        self._scorer = RequestScorer(self._batcher, threshold)
        self._scorer.listeners.append(listener)
        self._observer = observer
        self._max_rows = max_rows
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self.waiting_rows = 0
        self.fails = False
        """Whether scoring failed for the newest request that was tried."""

    def put(self, rows: AnyRows, served: Scored, caller: RequestContext) -> None:
        """Score rows later, or shed them."""
        size_bytes = held_bytes(rows)
        if (
            len(self._tasks) >= MAX_WAITING_REQUESTS
            or self.waiting_rows + len(rows) > self._max_rows
            or self._bytes + size_bytes > MAX_WAITING_BYTES
        ):
            self._observer.shed(len(rows))
            return
        self.waiting_rows += len(rows)
        self._bytes += size_bytes
        # A task starts in the loop's next round, when the answer has been sent.
        context = RequestContext(client=caller.client, source=caller.source)
        task = self._loop.create_task(self._score(rows, served, context))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(done, len(rows), size_bytes))

    @property
    def run_seconds(self) -> float:
        """Time since the running batch started; 0 if none is running."""
        return self._runtime.run_seconds

    def close(self) -> None:
        """Drop waiting rows, and end the thread once its batch is done."""
        self._runtime.closed.set()
        for task in self._tasks:
            task.cancel()
        self._batcher.close()

    async def _score(self, rows: AnyRows, served: Scored, caller: RequestContext) -> None:
        try:
            self._observer.scored(served, await self._scorer.score(rows, caller))
        except Exception as error:  # any failure must stay here
            self.fails = True
            self._observer.failed(len(rows), error)
        else:
            self.fails = False

    def _forget(self, task: asyncio.Task[None], rows: int, size_bytes: int) -> None:
        self._tasks.discard(task)
        self.waiting_rows -= rows
        self._bytes -= size_bytes


class _AtRest:
    """A runtime that starts only when nothing waits for `served`."""

    def __init__(self, runtime: Runtime, served: Batcher) -> None:
        self.shapes = runtime.shapes
        self.is_steady = False  # a run may wait
        self.closed = threading.Event()
        self._runtime = runtime
        self._served = served
        self._stands_back = False
        self._began: float | None = None

    @property
    def run_seconds(self) -> float:
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def run(self, rows: AnyRows) -> Outputs:
        """Called on the only thread of the mirror's batcher."""
        if not self._stands_back:
            self._stands_back = True
            _stand_back()
        while self._served.rows:
            if self.closed.wait(LOOK_SECONDS):
                raise RuntimeError("closed")
        self._began = time.monotonic()
        try:
            return self._runtime.run(rows)
        finally:
            self._began = None


def _stand_back() -> None:
    """Give every other thread of the machine precedence, if threads have priorities.

    Not SCHED_IDLE: such a thread may wait for ever, possibly while it holds the GIL.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class _Nobody:
    """Observes the batcher of a mirror and ignores it: its metrics are those of answers."""

    def batch_finished(self, rows: int, queue_seconds: list[float], inference_seconds: float) -> None: ...
