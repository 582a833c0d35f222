"""Loads untrusted bundles: each new one is first tried in a separate process (`probe_process.py`)."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from harmgauge.bundle.load import DETECTOR_FILE, DETECTOR_INT8_FILE, Bundle, load, read_manifest_text
from harmgauge.errors import BundleError
from harmgauge.inference.probe_process import DATA_BYTES, GRAPH_COPIES
from harmgauge.memory import free_in_cgroup_bytes
from harmgauge.settings import DEFAULT_BUNDLE_SHA256, Settings

CPU_SECONDS = 20
WALL_SECONDS = 30.0

TRIED = {DEFAULT_BUNDLE_SHA256}
"""The sha256 of each `bundle.json` that this process loads without a trial: the package's own, and those tried."""

_LEFT_BYTES = 64 * 2**20
"""Part of a container's memory that is kept free for requests that arrive meanwhile."""

_OWN_BYTES = 128 * 2**20
"""Data that Python and its libraries allocate, most of which is never touched."""

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
"""The only environment variables that are passed on: others may contain keys."""

_REMEDIES = {
    "reading": "check the disk, and copy the bundle again",
    "running its graph on 1 rows": "export the graph again",
    "running": "lower HARMGAUGE_MAX_BATCH_ROWS",
    "": "export the graph again",
}
"""By the beginning of the stage that did not finish."""

_TRUST = "to serve a bundle that you trust without this trial, sign it and set HARMGAUGE_BUNDLE_PUBLIC_KEY"


class BundleLoader:
    """Loads bundles as the settings require.

    A bundle counts as new until its `bundle.json` has been tried. The package's own bundle is trusted, and with
    HARMGAUGE_BUNDLE_PUBLIC_KEY the signature decides instead.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def load(self, folder: Path) -> Bundle:
        """Load the bundle in `folder`, verified and with a graph that runs. Blocks, up to `WALL_SECONDS` longer for a
        new one.

        Raises BundleError, and SettingsError if the public keys cannot be used.
        """
        settings = self._settings
        signed = bool(settings.bundle_public_key)
        if not signed and hashlib.sha256(read_manifest_text(folder)).hexdigest() not in TRIED:
            TRIED.add(self._probe(folder))
        bundle = load(folder, settings.precision, settings.bundle_public_key)
        if not signed and bundle.sha256 not in TRIED:
            raise BundleError(f"{folder} changed while it was being loaded: load it again")
        return bundle

    def _probe(self, folder: Path) -> str:
        """Load and run the bundle in a separate process; returns its sha256. Raises BundleError."""
        settings = self._settings
        request = {
            "folder": str(folder),
            "precision": settings.precision,
            "providers": settings.providers,
            "max_batch_rows": settings.max_batch_rows,
            "features": settings.feature_mmd,
            "cpu_seconds": CPU_SECONDS,
            "data_bytes": _data_bytes(folder / (DETECTOR_INT8_FILE if settings.precision == "int8" else DETECTOR_FILE)),
        }
        process = _start(request)
        out_of_time = threading.Event()

        def end() -> None:
            out_of_time.set()
            process.kill()

        timer = threading.Timer(WALL_SECONDS, end)
        timer.start()
        with process:  # waits for it to end, and closes the pipes
            try:
                written, errors = process.communicate()
            finally:
                timer.cancel()
                process.kill()
        found = _Answers(written)
        if found.sha256 is not None:
            return found.sha256
        if found.refused is not None:
            raise BundleError(found.refused)
        ending = f"took more than {WALL_SECONDS:g} s" if out_of_time.is_set() else _ending(process.returncode, errors)
        remedy = next(text for begin, text in _REMEDIES.items() if found.stage.startswith(begin))
        raise BundleError(f"{folder}: {found.stage} {ending}: {remedy}; {_TRUST}")


class _Answers:
    """The output of the process before it ended, however it did."""

    def __init__(self, written: bytes) -> None:
        self.stage = "starting the trial process"
        self.refused: str | None = None
        self.sha256: str | None = None
        for line in written.split(b"\n")[:-1]:
            for name, value in json.loads(line).items():
                setattr(self, name, value)


def _start(request: Mapping[str, object]) -> subprocess.Popen[bytes]:
    """Raises BundleError if the process cannot be started."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment["OPENBLAS_NUM_THREADS"] = environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-P", "-m", "harmgauge.inference.probe_process", json.dumps(dict(request))]
    try:
        return subprocess.Popen(  # noqa: S603  # nosec B603  # our own module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C must reach only the service
        )
    except OSError as error:
        raise BundleError(
            f"no process could be started to try {request['folder']} ({error.strerror}): allow the service one more "
            "process"
        ) from error


def _ending(status: int, errors: bytes) -> str:
    """How a process that gave no answer ended."""
    if status == -getattr(signal, "SIGXCPU", 0):
        return f"took more than {CPU_SECONDS} s of CPU"
    if status == -getattr(signal, "SIGKILL", 0):
        return "was killed, probably because memory ran out"
    if status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    last = errors.decode(errors="replace").strip().rpartition("\n")[2]
    return f"ended with status {status} {last}".rstrip()


def _data_bytes(graph: Path) -> int:
    """How much memory the process may write to: more for a large graph, at most as much as is available."""
    try:
        graph_bytes = graph.stat().st_size
    except OSError:  # the process reports the error
        graph_bytes = 0
    wanted_bytes = DATA_BYTES + GRAPH_COPIES * graph_bytes
    free_bytes = free_in_cgroup_bytes()
    return wanted_bytes if free_bytes is None else min(wanted_bytes, max(free_bytes - _LEFT_BYTES, 0) + _OWN_BYTES)
