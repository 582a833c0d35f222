"""Starts a peer, waits for its first answer, and ends all of its processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from harmgauge.bundle.load import Bundle
from tests.bench.peers.apps.graph import GRAPH, THRESHOLD
from tests.bench.peers.environments import interpreter
from tests.bench.peers.peers import Peer
from tests.bench.requests import Case
from tests.conftest import ROOT

START_SECONDS = 120
STOP_SECONDS = 20


@contextmanager
def running(peer: Peer, bundle: Bundle, first: Case) -> Iterator[str]:
    """The peer's URL, once it answers the request `first`. Raises RuntimeError, with its output, if it never does."""
    python = interpreter(peer.environment)
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        port = _free_port()
        own = {GRAPH: str(bundle.path.resolve() / "detector.onnx"), THRESHOLD: repr(float(bundle.threshold))}
        own |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": folder}
        # A group and not a session, which Linux would schedule against the load generator as a unit.
        process = subprocess.Popen(
            peer.command(python, port, Path(folder)),
            env=os.environ | own | peer.variables,
            cwd=ROOT,
            stdout=log,
            stderr=log,
            process_group=0,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            if refusal := _first_refusal(process, url + peer.paths[first.request], first):
                log.seek(0)
                raise RuntimeError(f"{peer.name}: {refusal}\n{log.read()[-4000:]}")
            yield url
        finally:
            _end(process)


def _free_port() -> int:
    """A free port that is followed by another one, for peers that need two."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            with suppress(OSError, OverflowError):
                other.bind(("127.0.0.1", port + 1))
                return port


def _first_refusal(process: subprocess.Popen[bytes], url: str, case: Case) -> str | None:
    """Repeat a request until it is answered; the reason if it never is."""
    refusal = "does not listen"
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with suppress(httpx.TransportError):
            answer = httpx.post(url, content=case.body, headers={"Content-Type": case.media_type}, timeout=10)
            if answer.is_success:
                return None
            refusal = f"answers {answer.status_code} {answer.text[:400]}"
            if answer.status_code in (400, 415, 422):
                return refusal
        time.sleep(0.1)
    return refusal


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the peer to end, and kill what is left of it, including workers that left its group."""
    family = _descendants(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child, start in family.items():
        with suppress(ProcessLookupError, FileNotFoundError):
            if _parent_and_start(child)[1] == start:
                os.kill(child, signal.SIGKILL)
    process.wait()


def _descendants(process: int) -> dict[int, int]:
    """The start time of each process below this one, which shows later whether its id was reused."""
    parents: dict[int, tuple[int, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, FileNotFoundError):
            parents[int(folder.name)] = _parent_and_start(int(folder.name))
    below = {process}
    while grown := {child for child, (parent, _) in parents.items() if parent in below} - below:
        below |= grown
    return {child: parents[child][1] for child in below - {process}}


def _parent_and_start(process: int) -> tuple[int, int]:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), int(fields[19])
