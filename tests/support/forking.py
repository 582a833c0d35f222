"""Processes forked by a zygote: `python -m MODULE WORDS` without the second of CPU time that loading takes."""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

from harmgauge.inference import isolated_probe

PYTHON = os.environ.get("SERVICE_PYTHON", sys.executable)
"""The interpreter for the service: `make test-lowest` sets it to one from an environment with older packages."""

_ROOT = Path(__file__).parents[2]
_PR_SET_CHILD_SUBREAPER = 36
_OWN = ("AWS_", "FAULTS_", "HARMGAUGE_", "OTEL_", "PYTEST_")
"""Variables that differ between tests, in any spelling, and that are read when the service starts or later, if at all.
"""

_NOT_OURS = ("KMP_", "ORT_DISABLE_TELEMETRY", "TORCHINDUCTOR_")
"""Variables that libraries set in the process of the tests once they are loaded; no service depends on them."""


class Process(Protocol):
    """The interface that tests use, shared by `subprocess.Popen` and `Forked`."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A child of this process that the zygote forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._ended = os.pidfd_open(pid)
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit code as in `subprocess.Popen`, or None while the process runs."""
        return self._reap(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once the process has ended; raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._reap(timeout)
        if code is None:
            raise subprocess.TimeoutExpired([PYTHON], timeout or 0)
        return code

    def send_signal(self, sig: int) -> None:
        with self._lock:
            if self._code is None:  # afterwards another process may have its id
                os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _reap(self, timeout: float | None) -> int | None:
        with self._lock:
            if self._code is not None:
                return self._code
        ready = select.poll()
        ready.register(self._ended, select.POLLIN)
        if not ready.poll(None if timeout is None else 1000 * timeout):
            return None
        with self._lock:
            if self._code is None:
                _, status = os.waitpid(self.pid, 0)
                self._code = os.waitstatus_to_exitcode(status)
                os.close(self._ended)
            return self._code


class _Zygote:
    """The process that forks, and the environment in which it loaded the modules."""

    def __init__(self) -> None:
        self.environment = _lasting(dict(os.environ))
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Its grandchildren are orphaned at once, and become children of this process.
        assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        with other:
            # The first test to start a service may be in another folder, where there is no module `tests`.
            self._process = subprocess.Popen(
                [PYTHON, "-m", "tests.support.zygote", str(other.fileno())], pass_fds=[other.fileno()], cwd=_ROOT
            )
        self._lock = threading.Lock()

    def fork(self, module: str, words: Sequence[str], environment: dict[str, str], stdout: int, stderr: int) -> Forked:
        request = {
            "module": module,
            "words": list(words),
            "environment": environment,
            "folder": os.getcwd(),
            "tried": sorted(isolated_probe.TRIED),
        }
        with self._lock:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [0, stdout, stderr])
            child = self._socket.recv(64)
        assert child, f"the zygote ended with {self._process.wait()}"
        return Forked(int(child))

    def close(self) -> None:
        """End the process; its forked services are ended by the code that started them."""
        self._socket.close()
        self._process.wait(10)


@cache
def _zygote() -> _Zygote:
    made = _Zygote()
    atexit.register(made.close)
    return made


def served(bundle: Path) -> None:
    """Let forks, and this process, load this bundle without a trial: a service of this process has tried it."""
    isolated_probe.TRIED.add(hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest())


def start(module: str, *words: str, environment: dict[str, str], fresh: bool) -> tuple[Process, IO[str]]:
    """Start `python -m MODULE WORDS`; returns the process and its stderr.

    Forks, unless a `fresh` interpreter is requested, the environment differs in more than the service's settings, or
    the system has no such forks.
    """
    if not fresh and (zygote := _zygote_for(environment)):
        reading, writing = os.pipe()
        try:
            return zygote.fork(module, words, environment, 1, writing), open(reading)
        finally:
            os.close(writing)
    process = subprocess.Popen([PYTHON, "-m", module, *words], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    return process, process.stderr


def finished(module: str, *words: str, environment: dict[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS` to completion, as a fork if possible; the result includes its output."""
    command = [PYTHON, "-m", module, *words]
    zygote = _zygote_for(environment)
    if zygote is None:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        process = zygote.fork(module, words, environment, stdout.fileno(), stderr.fileno())
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, code, stdout.read(), stderr.read())


def _zygote_for(environment: dict[str, str]) -> _Zygote | None:
    if sys.platform != "linux":
        return None
    zygote = _zygote()
    return zygote if _lasting(environment) == zygote.environment else None


def _lasting(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.upper().startswith(_OWN + _NOT_OURS)}
