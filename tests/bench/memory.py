"""`python -m tests.bench.memory`: plots the resident memory of the real process under minutes of mixed load."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime

from matplotlib.figure import Figure
from tqdm import tqdm

from harmgauge.bundle.load import load
from tests.bench.load import closed_loop
from tests.bench.options import BUNDLE, OUT
from tests.bench.proc import resident_mib
from tests.bench.requests import cases
from tests.support.process import fresh_service

MINUTES = float(os.environ.get("MINUTES", "10"))
SLICE_SECONDS = 5.0


def main() -> int:
    """Send one kind of request after another, over 1 to 64 connections, and record the memory after each."""
    mixed = [(case, connections) for case in cases(load(BUNDLE)) for connections in case.connections]
    minutes: list[float] = []
    resident: list[float] = []
    with fresh_service(BUNDLE) as service, tqdm(total=round(MINUTES * 60), desc="memory", unit="s") as bar:
        begin = time.monotonic()
        while (now := time.monotonic()) < begin + MINUTES * 60:
            case, connections = mixed[len(minutes) % len(mixed)]
            url = f"http://127.0.0.1:{service.port}{case.path}"
            closed_loop(url, case.body, case.media_type, connections, SLICE_SECONDS)
            service.client.get("/metrics")
            minutes.append((time.monotonic() - begin) / 60)
            resident.append(resident_mib(service.process.pid))
            bar.update(round(time.monotonic() - now))
        scored = sum(count for _, count in service.metrics()["harmgauge_instances_total"])
    half = len(resident) // 2
    first, second = (sum(part) / len(part) for part in (resident[1:half], resident[half:]))
    path = OUT / f"{datetime.now(UTC):%Y-%m-%d}-memory.png"
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(minutes, resident)
    axes.set(xlabel="minutes of load", ylabel="resident MiB", ylim=(0, max(resident) * 1.2))
    figure.savefig(path, dpi=90, metadata={"Software": None})
    sys.stdout.write(
        f"{scored:.0f} rows in {minutes[-1]:.1f} minutes: {resident[0]:.0f} MiB after the first slice, "
        f"mean {first:.0f} in the first half, {second:.0f} in the second, {max(resident):.0f} at most\n"
        f"drawn in {path}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
