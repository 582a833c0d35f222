"""A process's resources, and the check that a fault does not increase them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.own_value import row
from tests.support.process import RunningService, wait_until

SPARE_THREADS = 34
"""Threads of the default executor and for reading: created on first use and kept."""

SPARE_MEBIBYTES = 64
"""Memory that the allocator keeps after a burst."""


@dataclass(frozen=True)
class Held:
    """Threads, open files and resident mebibytes of a process."""

    threads: int
    files: int
    mebibytes: float

    @classmethod
    def by(cls, service: RunningService) -> Held:
        process = Path(f"/proc/{service.process.pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return cls(
            threads=len(list((process / "task").iterdir())),
            files=len(list((process / "fd").iterdir())),
            mebibytes=int(status["VmRSS"].split()[0]) / 1024,
        )

    @staticmethod
    def peak_mebibytes(service: RunningService) -> float:
        """The peak resident size of the service."""
        lines = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def assert_well(service: RunningService, before: Held, *, number: int = 4_000_000) -> None:
    """Assert that the service is alive and ready, scores correctly, holds no more than `before`, and logged no
    unexpected errors.
    """
    wait_until(lambda: service.client.get("/readyz").status_code == 200)
    assert service.client.get("/livez").status_code == 200
    assert service.score(row(number))["scores"] == [number]
    # `before` may have been measured before the client's first connection, with which the event loop opens further
    # files.
    wait_until(lambda: Held.by(service).files <= before.files + 2)
    after = Held.by(service)
    assert after.threads <= before.threads + SPARE_THREADS
    assert after.mebibytes <= before.mebibytes + SPARE_MEBIBYTES
    wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] == 0)  # one may still run for a client that left
