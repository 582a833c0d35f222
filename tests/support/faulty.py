"""The real service with a runtime that fails when a row requests it: `python -m tests.support.faulty serve`.

The product is unaware of it: the class is patched before the service starts, in a separate process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from harmgauge.bundle.named_rows import AnyRows
from harmgauge.cli.main import main
from harmgauge.drift import ks
from harmgauge.inference.batch import Batch
from harmgauge.inference.outputs import Outputs, Runtime
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.server import stopping

RAISE, NOT_A_NUMBER, HANG, END_THE_THREAD, SLEEP, KILL_THE_WORKER, NO_PROBABILITY = (float(n) for n in range(1, 8))
"""The faults that a row's second number requests; 0 is none.

`HANG` lasts until the file that `RELEASE` names exists, `SLEEP` for 50 ms. `END_THE_THREAD` is SystemExit in the
inference, `KILL_THE_WORKER` is SystemExit outside any handler.
"""

RELEASE = "FAULTS_RELEASE"
BROKEN = "FAULTS_BROKEN"
"""While the file named by this variable exists, every run raises."""

DRIFT = "FAULTS_DRIFT"
"""While the file named by this variable exists, the drift test runs out of memory."""

LINGER = "FAULTS_LINGER_SECONDS"
"""How long idle connections stay open after SIGTERM, in seconds: longer than any stall of a busy machine."""

_run, _run_batch, _two_sample = OnnxRuntime.run, Batch.run, ks.two_sample


def _is_there(variable: str) -> bool:
    return variable in os.environ and Path(os.environ[variable]).exists()


def _faulty_run(self: OnnxRuntime, rows: AnyRows) -> Outputs:
    assert isinstance(rows, np.ndarray)
    asked = set(rows[:, 1].tolist())
    if RAISE in asked or _is_there(BROKEN):
        raise RuntimeError("a secret of the inside")
    if END_THE_THREAD in asked:
        raise SystemExit
    if SLEEP in asked:
        time.sleep(0.05)
    while HANG in asked and not _is_there(RELEASE):
        time.sleep(0.01)
    outputs = _run(self, rows)
    outputs.score[rows[:, 1] == NOT_A_NUMBER] = np.nan
    outputs.probabilities[rows[:, 1] == NO_PROBABILITY] = np.nan
    return outputs


def _fatal_run(self: Batch, runtime: Runtime) -> None:
    if any((np.asarray(piece.entry.rows)[:, 1] == KILL_THE_WORKER).any() for piece in self.pieces):
        threading.excepthook = lambda _: None
        raise SystemExit
    _run_batch(self, runtime)


def _faulty_two_sample(*arguments: Any) -> ks.KsResult:
    if _is_there(DRIFT):
        raise MemoryError
    return _two_sample(*arguments)


if __name__ == "__main__":
    OnnxRuntime.run = _faulty_run  # type: ignore[method-assign]  # replaced on purpose
    Batch.run = _fatal_run  # type: ignore[method-assign]  # replaced on purpose
    stopping.LINGER_SECONDS = float(os.environ.get(LINGER, stopping.LINGER_SECONDS))
    ks.two_sample = _faulty_two_sample  # type: ignore[assignment]  # replaced on purpose
    sys.exit(main())
