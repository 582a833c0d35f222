"""Counts a process's system calls with strace, in short runs that measure nothing else."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import closed_loop
from tests.bench.requests import Case
from tests.bench.service import settle
from tests.support.process import RunningService

SECONDS = 1


@dataclass(frozen=True)
class SystemCalls:
    """Calls per request by name, by request and connections; empty, with the reason, if they cannot be counted."""

    per_request: dict[tuple[str, int], dict[str, float]]
    missing: str | None = None


def count(service: RunningService, cases: Iterable[Case]) -> SystemCalls:
    """The system calls of all the service's threads.

    A traced process runs several times slower, so that at many connections its batches are larger than usual.
    """
    if shutil.which("strace") is None:
        return SystemCalls({}, "System calls were not counted: strace is not installed.")
    try:
        return SystemCalls(
            {
                (case.request, connections): _per_request(service, case, connections)
                for case in cases
                for connections in case.connections
            }
        )
    except PermissionError as error:
        return SystemCalls({}, f"System calls were not counted: {error}.")


def parse(summary: str) -> dict[str, int]:
    """The calls by name in the table of `strace -c`, most frequent first, without its total."""
    row = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+([a-z_]\w*)$", re.MULTILINE)
    counts = {name: int(calls) for calls, name in row.findall(summary) if name != "total"}
    return dict(sorted(counts.items(), key=lambda found: -found[1]))


def _per_request(service: RunningService, case: Case, connections: int) -> dict[str, float]:
    settle(service)
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary"
        with _traced(service.process.pid, summary):
            url = f"http://127.0.0.1:{service.port}{case.path}"
            load = closed_loop(url, case.body, case.media_type, connections, SECONDS)
            time.sleep(0.1)
        return {name: calls / load.requests for name, calls in parse(summary.read_text()).items()}


@contextmanager
def _traced(process: int, summary: Path) -> Iterator[None]:
    """Raises PermissionError if this process may not trace that one."""
    command = ["strace", "-c", "-f", "-o", str(summary), "-p", str(process)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        first = tracer.stderr.readline().strip()  # "strace: Process 7 attached with 12 threads", or an error
        if "attached" not in first:
            raise PermissionError(first)
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
