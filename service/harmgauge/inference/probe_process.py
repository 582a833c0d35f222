"""A separate process, with limits, that reads one bundle and runs its graph before the service does.

A graph is a program of native code. It can crash the process that loads it, compute for ever, or take any amount of
memory. Here it harms nothing else: the parent process (`isolated_probe.py`) learns how far it got.

It writes one JSON object per line: first each stage as it begins, finally the bundle's `sha256` or why it was
`refused`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort

from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.probe_row import blank_rows
from harmgauge.bundle.tokenizer import open_tokenizer
from harmgauge.errors import BundleError, SettingsError
from harmgauge.inference.providers import CUDA
from harmgauge.inference.runtime import MAX_BATCH_ROWS_CPU, OnnxRuntime

DATA_BYTES = 2**30
"""Limit on memory that the process may write to, besides `GRAPH_COPIES` of its graph.

It does not limit the address space (RLIMIT_AS), which libraries reserve without using it.
"""

GRAPH_COPIES = 4
"""The file's bytes, ONNX Runtime's parsed copy, the weights, and the weights packed for their operators."""

MAX_GROWTH_BYTES = 64 * 2**20
"""How much loading, and a run of one row, may let the process grow beyond the memory that the graph's size explains."""

GROWTH_PER_GRAPH_BYTE = 6

GROWTH_PER_ROW_BYTE = 256
"""Allowed growth for each byte of a row in float32: the first layers of image networks give 64 to 128 channels."""

GROWTH_PER_PAIR_BYTES = 256
"""Allowed growth for each pair of positions of the longest row: attention with 16 heads keeps four float32 of each."""

_ROWS_ON_GPU = 8
"""Largest number of rows tried for a GPU: the probe runs on the CPU, where a GPU's batches would take too long."""

_LONGEST_TEXT = 2000
_PR_SET_PDEATHSIG = 1


def main() -> None:
    request: dict[str, Any] = json.loads(sys.argv[1])
    answers = _Answers()
    _end_with_parent()
    _limit(request["data_bytes"], request["cpu_seconds"])
    try:
        sha256 = _probe(request, answers)
    except (BundleError, SettingsError) as error:
        answers.write(refused=str(error))
    except MemoryError:
        answers.write(refused=f"{request['folder']}: it needs more memory than a bundle of its size may use")
    except Exception as error:
        answers.write(refused=f"{request['folder']}: {type(error).__name__}: {error}")
    else:
        answers.write(sha256=sha256)
    os._exit(0)  # without waiting for threads, or freeing memory piece by piece


class _Answers:
    """Writes lines to the parent process. Output that native code prints is discarded."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)

    def write(self, **line: object) -> None:
        clipped = {name: str(value)[:_LONGEST_TEXT] for name, value in line.items()}
        os.write(self._descriptor, json.dumps(clipped).encode() + b"\n")


def _probe(request: dict[str, Any], answers: _Answers) -> str:
    """The sha256 of the bundle, if its graph loads and runs within the limits.

    Raises BundleError and other exceptions.
    """
    answers.write(stage="reading its files")
    bundle = load(Path(request["folder"]), request["precision"])
    growth = _Growth(bundle)

    def reached(rows: int) -> None:
        growth.check()
        answers.write(stage=f"running its graph on {rows} rows" if rows else "loading its graph")
        growth.begin(rows)

    max_batch_rows = request["max_batch_rows"] or MAX_BATCH_ROWS_CPU
    if request["providers"] != "cpu" and CUDA in ort.get_available_providers():
        max_batch_rows = min(max_batch_rows, _ROWS_ON_GPU)
    runtime = OnnxRuntime(bundle, "cpu", max_batch_rows, features=request["features"], reached=reached)
    if bundle.reference.probe is not None:
        # The bundle's own row must not hide the effects of others: crash, hang, or memory. On zeros the graph may give
        # NaN or an error; a GPU's batches are padded with them.
        reached(1)
        with contextlib.suppress(Exception):
            served = bundle.manifest.served
            runtime.run(served.blank(1) if isinstance(served, NamedInputs) else blank_rows(served, 1))
    growth.check()
    answers.write(stage="reading its tokenizer")
    open_tokenizer(bundle)
    return bundle.sha256


class _Growth:
    """Refuses a small graph that uses as much memory as only a large one should: in service it would do so, too.

    Runs of more rows grow with the memory of one row; the process limit bounds them.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._path, self._graph_bytes = bundle.path, len(bundle.graph)
        served = bundle.manifest.served
        self._row_bytes = 4 * served.row_size
        longest = served.maximum if isinstance(served, NamedInputs) else None
        self._pairs_bytes = GROWTH_PER_PAIR_BYTES * (longest or 0) ** 2
        self._rows: int | None = None
        self._before_bytes = 0

    def begin(self, rows: int) -> None:
        self._rows, self._before_bytes = rows, _peak_bytes()

    def check(self) -> None:
        """Check the stage that has ended. Raises BundleError."""
        if self._rows is None or self._rows > 1:
            return
        grown_bytes = _peak_bytes() - self._before_bytes
        allowed_bytes = MAX_GROWTH_BYTES + GROWTH_PER_GRAPH_BYTE * self._graph_bytes
        allowed_bytes += self._rows * (GROWTH_PER_ROW_BYTE * self._row_bytes + self._pairs_bytes)
        if grown_bytes > allowed_bytes:
            what = "one row" if self._rows else "loading it"
            raise BundleError(
                f"{self._path}: the graph has {self._graph_bytes} bytes, but {what} takes {grown_bytes >> 20} MiB of "
                f"memory; expected at most {allowed_bytes >> 20} MiB: export it again, without large computed constants"
            )


def _peak_bytes() -> int:
    """Peak memory of this process, 0 if the system does not report it. (`ru_maxrss` includes the parent's.)"""
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0


def _end_with_parent() -> None:
    """Ask the system to end this process with its parent, and to kill it first if memory runs out. Linux only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


def _limit(data_bytes: int, cpu_seconds: int) -> None:
    try:
        import resource  # noqa: PLC0415 - not available on Windows
    except ImportError:
        return
    for kind, soft, hard in (
        (resource.RLIMIT_DATA, data_bytes, data_bytes),
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),  # SIGXCPU comes first, and identifies the cause
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(OSError, ValueError):  # macOS does not support this limit; a lower one may be in force
            resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    main()
