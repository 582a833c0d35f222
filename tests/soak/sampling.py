"""Samples of a process from the system and the service itself, every few seconds."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.soak.journal import AccessLog
from tests.support.process import RunningService

SECONDS = 5.0


def memory_mib(process: int) -> dict[str, float]:
    """RSS and PSS."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return {f"{name.lower()}_mib": int(kib) / 1024 for name, kib in re.findall(r"(?m)^(Rss|Pss):\s+(\d+) kB", text)}


def look(process: int) -> dict[str, float]:
    """Memory, threads and open files."""
    status = Path(f"/proc/{process}/status").read_text()
    threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))
    return {**memory_mib(process), "threads": threads, "files": len(list(Path(f"/proc/{process}/fd").iterdir()))}


class Sampler(threading.Thread):
    """Records the steady service, the restarted one if it runs, and the clients' last reports."""

    def __init__(
        self,
        service: RunningService,
        journal: AccessLog,
        restarted: Callable[[], int | None],
        clients: Callable[[], dict[str, Any]],
    ) -> None:
        super().__init__(name="sampler")
        self._service = service
        self._journal = journal
        self._restarted = restarted
        self._clients = clients
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(SECONDS):
            try:
                sample = {"steady": look(self._service.process.pid), "drift": self._drift(), **self._other()}
                self._journal.note("sample", **sample, clients=self._clients())
            except Exception as error:
                self._journal.note("failure", what=f"sampling: {error!r}")

    def _drift(self) -> dict[str, Any]:
        detectors = self._service.client.get("/drift").json()["detectors"]
        return {
            name: {key: detector[key] for key in ("p_value", "statistic", "threshold", "state", "total_rows")}
            for name, detector in detectors.items()
        }

    def _other(self) -> dict[str, Any]:
        process = self._restarted()
        try:
            return {"restarted": look(process)} if process is not None else {}
        except OSError:  # it has just ended
            return {}
