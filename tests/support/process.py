"""The real service as a separate process, on a free port."""

from __future__ import annotations

import io
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz
from harmgauge.cli.main import main
from tests.support.exposition import Exposition
from tests.support.forking import PYTHON, Process, finished, served, start

RAW = {"Content-Type": "application/octet-stream"}

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""`verify` of clients of an `http://` address: by default, httpx loads the system's certificate authorities for each
client, 50 ms of CPU time.
"""


@dataclass
class RunningService:
    """A running process, its client, and its log so far."""

    process: Process
    client: httpx.Client
    port: int
    log: list[str] = field(default_factory=list)
    log_reader: threading.Thread | None = None

    def score(self, rows: npt.NDArray[Any]) -> dict[str, Any]:
        """Score rows in the bundle's dtype, sent as raw bytes; fails unless the request succeeds."""
        answer = self.client.post("/score", content=rows.tobytes(), headers=RAW)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def score_ks(self, *, scores: bool = False) -> dict[str, Any]:
        answer = self.client.get("/drift", params={"scores": "true"} if scores else {})
        detector: dict[str, Any] = answer.json()["detectors"]["score_ks"]
        return detector

    def metrics(self) -> Exposition:
        """The samples of /metrics."""
        return Exposition(self.client.get("/metrics").text)

    def detector_metric(self, name: str) -> dict[str, float]:
        """A drift gauge by detector; empty if it is absent."""
        return {labels["detector"]: value for labels, value in self.metrics().get(f"harmgauge_{name}", [])}

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_seconds: float = 60) -> int:
        """Wait for the exit code; from then on `log` is complete."""
        code = self.process.wait(timeout_seconds)
        if self.log_reader is not None:
            self.log_reader.join(timeout_seconds)
        return code

    def said(self, *words: str) -> int:
        """The number of lines so far that contain all these words.

        Lines arrive through a pipe, possibly after the event that they report: while the process runs, wait for them.
        """
        return sum(all(word in line for word in words) for line in list(self.log))


def environment(**settings: object) -> dict[str, str]:
    """The machine's environment with these HARMGAUGE_ settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARMGAUGE_")}
    return kept | {f"HARMGAUGE_{name.upper()}": str(value) for name, value in settings.items()}


def run(command: str, *options: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a `harmgauge` command to completion; `serve` as a fork, as in `running_service`."""
    if command == "serve":
        return finished("harmgauge", command, *options, environment=environment(**settings), timeout=240)
    return subprocess.run(
        [PYTHON, "-m", "harmgauge", command, *options],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def run_here(command: str, *options: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Like `run`, but in this process, which saves a second of CPU time. Not for `serve`, which must run in its own
    process.
    """
    if sys.executable != PYTHON:
        return run(command, *options, **settings)
    told, warned = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment(**settings), clear=True),
        redirect_stdout(told),
        redirect_stderr(warned),
    ):
        try:
            status = main([command, *options])
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess([command, *options], status, told.getvalue(), warned.getvalue())


@contextmanager
def running_service(bundle: Path, **settings: object) -> Iterator[RunningService]:
    """Start `harmgauge serve` and wait until it logs its address; end it afterwards in any case.

    The client sends the setting `client_key`, and trusts the certificate of the service. The process is forked from one
    that has loaded the service's modules.
    """
    with running_module("harmgauge", bundle, settings, fresh=False) as service:
        yield service


@contextmanager
def fresh_service(bundle: Path, **settings: object) -> Iterator[RunningService]:
    """Like `running_service`, in a new interpreter: for tests that measure memory, speed or start-up itself."""
    with running_module("harmgauge", bundle, settings) as service:
        yield service


@contextmanager
def running_module(
    module: str, bundle: Path, settings: dict[str, object], *, fresh: bool = True
) -> Iterator[RunningService]:
    """Like `running_service`, with a `module` that replaces the product's and accepts the same arguments."""
    process, stderr = start(
        module, "serve", environment=environment(**{"bundle": bundle, "port": 0, **settings}), fresh=fresh
    )
    log: list[str] = []
    listening = threading.Event()

    def read_log() -> None:
        for line in stderr:
            log.append(line)
            if "(docs at" in line:
                listening.set()
        listening.set()

    reader = threading.Thread(target=read_log)
    reader.start()
    try:
        assert listening.wait(180), "it did not say that it serves"
        address = next(
            (found for line in log if (found := re.search(r"(https?)://[\d.:\[\]]+:(\d+) \(docs", line))), None
        )
        assert address is not None, "".join(log)
        port = int(address[2])
        served(Path(str(settings.get("bundle", bundle))))
        headers = {"Authorization": f"Bearer {settings['client_key']}"} if "client_key" in settings else {}
        trusted = settings.get("tls_certificate")
        verify = ssl.create_default_context(cafile=str(trusted)) if trusted else NO_TLS
        with httpx.Client(
            base_url=f"{address[1]}://127.0.0.1:{port}", timeout=30, headers=headers, verify=verify
        ) as client:
            yield RunningService(process, client, port, log, reader)
    finally:
        process.kill()
        process.wait()
        reader.join()
        stderr.close()


def wait_until(condition: Any, timeout_seconds: float = 60) -> None:
    """Poll until `condition()` holds; fails after the time limit, which is generous for a busy machine.

    The longer it takes, the rarer it polls, but at least every tenth of a second.
    """
    begin = time.monotonic()
    while not condition():
        waited_seconds = time.monotonic() - begin
        assert waited_seconds < timeout_seconds, "it did not happen in time"
        time.sleep(min(max(0.02, waited_seconds / 20), 0.1))


def saved_state(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the single drift state that a service saved in a folder; empty before that."""
    files = list(folder.glob("drift-*.npz"))
    return read_npz(files[0]) if files else {}


def as_float32(values: list[float]) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def grpc_port(service: RunningService) -> int:
    """The port of the service's gRPC server, from its log."""
    found = next(found for line in service.log if (found := re.search(r"serving gRPC on 127\.0\.0\.1:(\d+)", line)))
    return int(found[1])
