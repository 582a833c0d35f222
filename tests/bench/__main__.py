"""`make bench`: the real process under real load generators, compared with bare ONNX Runtime in the same round."""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.samples import read_samples
from tests.bench import bare, named, overload, report
from tests.bench.load import closed_loop, paced_loop, wrk_is_missing
from tests.support.process import RunningService, fresh_service, wait_until

BUNDLE = Path(os.environ.get("BUNDLE", "models/bundles/cifar10-resnet32/3"))
SECONDS = float(os.environ.get("SECONDS", "4"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
OUT = Path(os.environ.get("OUT", "docs/measurements/benchmarks"))
CONNECTIONS = (1, 4, 16, 64)

RAW = "application/octet-stream"


class Case(NamedTuple):
    request: str
    rows: int
    body: bytes
    media_type: str
    connections: tuple[int, ...]


def cases(rows: Rows) -> list[Case]:
    npy, png = io.BytesIO(), io.BytesIO()
    np.save(npy, rows[:1])
    Image.fromarray(rows[0]).save(png, "PNG")
    as_json = json.dumps({"instances": rows[:1].tolist()}).encode()
    single = [
        Case("1 row, raw", 1, rows[:1].tobytes(), RAW, CONNECTIONS),
        Case("1 row, .npy", 1, npy.getvalue(), "application/x-npy", CONNECTIONS),
        Case("1 row, JSON", 1, as_json, "application/json", CONNECTIONS),
        Case("1 row, PNG", 1, png.getvalue(), "image/png", CONNECTIONS),
    ]
    return single + [Case(f"{count} rows, raw", count, rows[:count].tobytes(), RAW, (4, 16)) for count in (8, 32, 128)]


def settle(service: RunningService) -> None:
    """Wait until the service has recovered from the last load."""
    wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] == 0, timeout_seconds=60)
    time.sleep(0.2)


def main() -> int:
    """Measure, print the table, and write it to `docs/measurements/benchmarks`."""
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    bundle = load(BUNDLE)
    rows = read_samples(bundle).clean
    wanted = cases(rows)
    points = [(case, connections) for case in wanted for connections in case.connections]
    seen: dict[tuple[str, int], list[report.Line]] = {}
    yardsticks: list[bare.Bare] = []
    notes: list[str] = []
    with fresh_service(BUNDLE) as service, tqdm(total=ROUNDS * (len(points) + 3) + 1, desc="bench") as bar:
        url = f"http://127.0.0.1:{service.port}/score"
        for _ in range(ROUNDS):
            rates: dict[int, float] = {}
            for count in (1, 8, 32):
                measured = bare.measure(bundle, rows[:count], SECONDS)
                rates[count] = measured.rows_per_second
                if count == 1:
                    yardsticks.append(measured)
                bar.update()
            rates[128] = rates[32]  # the service runs them in pieces of 32
            for case, connections in points:
                settle(service)
                load_seen = closed_loop(url, case.body, case.media_type, connections, SECONDS)
                rate = load_seen.requests_per_second * case.rows
                seen.setdefault((case.request, connections), []).append(
                    report.Line(
                        case.request,
                        connections,
                        rate,
                        rate / rates[case.rows],
                        load_seen.p50_seconds,
                        load_seen.p99_seconds,
                    )
                )
                bar.update()
        capacity = statistics.median(line.rows_per_second for line in seen["1 row, raw", 16])
        settle(service)
        steady = paced_loop(url, [wanted[0].body], RAW, capacity / 2, SECONDS * ROUNDS)
        bar.update()
    alone = statistics.median(yardstick.latency_seconds for yardstick in yardsticks)
    notes.append(f"Bare ONNX Runtime: {statistics.median(y.rows_per_second for y in yardsticks):.0f} single rows/s.")
    notes.append(
        f"Single raw rows at half the capacity ({capacity / 2:.0f} requests/s, random pauses): p50 "
        f"{steady.p50_seconds * 1e3:.2f} ms, p99 {steady.p99_seconds * 1e3:.2f} ms; "
        f"a bare run takes {alone * 1e3:.2f} ms."
    )
    notes.append(str(overload.measure(BUNDLE, rows, RAW, 2 * SECONDS)))
    lines = [report.median(of) for of in seen.values()]
    for line, note in named.measure(ROUNDS, SECONDS):
        lines.append(line)
        notes.append(note)
    for line in lines:
        if line.connections == 16 and line.request in report.BARS:
            notes.append(f"{line.request} at 16 connections: {line.ratio:.2f}, wanted {report.BARS[line.request]:.2f}.")
    path = report.write(OUT, lines, notes)
    sys.stdout.write(report.table(lines) + "\n" + "\n".join(notes) + f"\nwritten to {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
