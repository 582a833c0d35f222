"""Fakes whose behaviour a test decides: a runtime that is a plain function of its input, a recording observer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from harmgauge.bundle.named_rows import AnyRows
from harmgauge.bundle.rows import Rows
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.caller import PATIENT, RequestContext
from harmgauge.inference.outputs import Outputs, RowShapes


class FakeRuntime:
    """A runtime in which the score of a row, and its only feature, is its first number.

    A row that begins with -1 raises, -2 gives a score that is not finite, -3 ends the thread. While `gate` is clear,
    runs wait. `begun` counts the runs, `batches` holds the size of every run that proceeded.
    """

    def __init__(self) -> None:
        self.shapes: RowShapes = {"score": (), "probabilities": (2,), "features": (1,)}
        self.is_steady = True
        self.gate = threading.Event()
        self.gate.set()
        self.begun = 0
        self.batches: list[int] = []
        self.answer_short = False

    def run(self, rows: AnyRows) -> Outputs:
        assert isinstance(rows, np.ndarray)
        self.begun += 1
        assert self.gate.wait(10)
        self.batches.append(len(rows))
        first = rows[:, 0].astype(np.float32)
        if (first == -1).any():
            raise RuntimeError("a secret of the inside")
        if (first == -3).any():
            raise SystemExit
        first[first == -2] = np.nan
        if self.answer_short:
            first = first[1:]
        return Outputs(first, np.stack([first, -first], 1), first[:, None])


class Notes:
    """An observer of the batcher that records its calls."""

    def __init__(self) -> None:
        self.batch_rows: list[int] = []
        self.queue_seconds: list[float] = []
        self.inferences = 0

    def batch_finished(self, rows: int, queue_seconds: list[float], inference_seconds: float) -> None:
        assert inference_seconds >= 0
        self.batch_rows.append(rows)
        self.queue_seconds += queue_seconds
        self.inferences += 1


def rows_of(*values: float | np.floating) -> Rows:
    """Rows with these first numbers, the only ones that the runtime reads."""
    return np.array([[value, 0] for value in values], np.float32)


async def run(batcher: Batcher, rows: Rows, context: RequestContext = PATIENT) -> Outputs:
    """The outputs for the rows, requested in a way that is cancelled with the calling task."""
    entry = batcher.submit(rows, context)
    try:
        return await entry.answered
    except asyncio.CancelledError:
        batcher.withdraw(entry)
        raise


@asynccontextmanager
async def batching(
    workers: int = 2, max_batch_rows: int = 8, max_queue_rows: int = 100
) -> AsyncIterator[tuple[Batcher, FakeRuntime, Notes]]:
    """A batcher, its runtime and its observer, for at most 20 s."""
    runtime, notes = FakeRuntime(), Notes()
    batcher = Batcher(runtime, workers, max_batch_rows, max_queue_rows, notes)
    try:
        async with asyncio.timeout(20):
            yield batcher, runtime, notes
    finally:
        runtime.gate.set()
        batcher.close()


async def settled() -> None:
    """Let the event loop do everything that it can; its workers may not be done."""
    await asyncio.sleep(0.05)
