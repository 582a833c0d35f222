"""The trial of a bundle as a fork of the service that starts, without the third of a second that loading takes.

The fork runs the same `harmgauge.inference.probe_process`. Once the service has other threads, which may hold locks
that the fork would need, trials are the product's own.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from harmgauge.inference import isolated_probe, probe_process

_THREADS_OF_A_START = 2
"""The main thread, and the one that waits for SIGTERM."""


class ForkedTrial:
    """The part of `subprocess.Popen` that `isolated_probe` uses."""

    def __init__(self, request: Mapping[str, object]) -> None:
        self.returncode: int | None = None
        stdout, writing_stdout = os.pipe()
        stderr, writing_stderr = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _try(request, writing_stdout, writing_stderr)
        os.close(writing_stdout)
        os.close(writing_stderr)
        self._stdout, self._stderr = os.fdopen(stdout, "rb"), os.fdopen(stderr, "rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stdout.close()
        self._stderr.close()
        self._wait()

    def communicate(self) -> tuple[bytes, bytes]:
        written = self._stdout.read(), self._stderr.read()
        self._wait()
        return written

    def kill(self) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _wait(self) -> None:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork_for_trials() -> None:
    """Let this process fork for a trial as long as it has no threads but the two of a service that starts."""
    start = isolated_probe._start

    def fork(request: Mapping[str, object]) -> Any:
        return ForkedTrial(request) if threading.active_count() <= _THREADS_OF_A_START else start(request)

    isolated_probe._start = fork


def _try(request: Mapping[str, object], stdout: int, stderr: int) -> None:
    """Become the trial's process; never returns."""
    try:
        os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        sys.argv[1:] = [json.dumps(dict(request))]
        probe_process.main()
    finally:
        os._exit(1)
