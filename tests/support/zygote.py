"""A process that has loaded the service's modules, and forks for every service that a test starts.

Loading them takes most of the start-up time. A fork runs the same `python -m harmgauge serve` from its first line on,
as a separate process whose parent is the test: signals, exit codes and files are those of any child. It also forks for
the trial of its bundle (`forked_trial.py`).

It runs as `python -m tests.support.zygote SOCKET`, with a socket on that file descriptor; see `forking` for the other
end.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from harmgauge.drift.sources import baseline
from harmgauge.inference.isolated_probe import TRIED
from tests.support.forked_trial import fork_for_trials

LOADED = (
    "harmgauge.cli.main",
    "harmgauge.cli.commands",
    "harmgauge.api.grpc.server",
    "harmgauge.observe.tracing",
    "harmgauge.server.process",
    "harmgauge.server.guarded",
    "harmgauge.server.protocol",
    "encodings.idna",
    "fastapi.staticfiles",
    "fastapi_offline",
    "numpy.ma",
    "numpy.random",
    "onnxruntime",
    "pydantic.v1",
    "uvloop",
)
"""The modules that every service loads, or most. None of them starts a thread, because a fork has only one."""

MOST_BYTES = 2**20


def main() -> None:
    """Fork for every request until the other end is closed; each child becomes the requested module."""
    asked = socket.socket(fileno=int(sys.argv[1]))
    for name in LOADED:
        import_module(name)
    baseline.table()
    # A service collects garbage as it starts. What is loaded here lives as long as the process, so its forks need not
    # scan it, nor copy its pages.
    gc.collect()
    gc.freeze()
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"expected 1 thread before a fork, got {threads}: what is loaded must not start any"
    while True:
        message, files, _, _ = socket.recv_fds(asked, MOST_BYTES, 3)
        if not message:
            return
        request = json.loads(message)
        child = _fork_orphan()
        if child is None:
            asked.close()
            _become(request, files)
            return
        asked.send(str(child).encode())
        for file in files:
            os.close(file)


def _fork_orphan() -> int | None:
    """Fork twice, so that the parent of the child is the process that started this one and adopts its orphans.

    Returns the child's id once it has that parent, and None in the child.
    """
    reading, writing = os.pipe()
    between = os.fork()
    if between == 0:
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.close(writing)
            return None
        os.write(writing, str(child).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as told:
        found = int(told.read())
    os.waitpid(between, 0)
    return found


def _become(request: dict[str, Any], files: list[int]) -> None:
    """Run a module like `python -m`, with the arguments, files, folder and environment of the request."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["folder"]
    sys.argv[1:] = request["words"]
    TRIED.update(request["tried"])
    fork_for_trials()
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
