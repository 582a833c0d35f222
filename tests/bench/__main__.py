"""`make bench`: the real process against bare ONNX Runtime with the same graph, on the same cores, in one run."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from service.inference.bundle import load
from service.inference.cores import usable_cores
from service.inference.runtime import OnnxRuntime, Rows
from service.samples import read_samples
from tests.process import running_service

BUNDLE = Path(os.environ.get("BUNDLE", "models/bundles/cifar10-resnet32/1"))
SECONDS = float(os.environ.get("SECONDS", "5"))
ROUNDS = 3


def bare(rows: Rows, batch_rows: int) -> float:
    """Rows a second of the session alone, one thread a core."""
    runtime = OnnxRuntime(load(BUNDLE), "cpu")
    end = time.perf_counter() + SECONDS

    def work(_: int) -> int:
        done = 0
        while time.perf_counter() < end:
            runtime.run(rows[:batch_rows])
            done += batch_rows
        return done

    with ThreadPoolExecutor(usable_cores()) as pool:
        return sum(pool.map(work, range(usable_cores()))) / SECONDS


def _client(port: int, body: bytes, media_type: str) -> int:
    """Requests that one keep-alive connection completed."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    done, end = 0, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        connection.request("POST", "/score", body, {"Content-Type": media_type})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        done += 1
    return done


def served(port: int, body: bytes, media_type: str, connections: int, rows: int) -> float:
    """Rows a second over HTTP; each connection is a process of its own, and shares the cores."""
    with multiprocessing.Pool(connections) as pool:
        return sum(pool.starmap(_client, [(port, body, media_type)] * connections)) * rows / SECONDS


def main() -> int:
    """Print a table of ratios: the median of several rounds, bare and served by turns."""
    rows = read_samples(load(BUNDLE)).clean
    raw, as_json = "application/octet-stream", "application/json"
    cases = {
        "1 row, raw bytes": (rows[:1].tobytes(), raw, 1, 4),
        "1 row, JSON": (json.dumps({"instances": rows[:1].tolist()}).encode(), as_json, 1, 4),
        "32 rows, raw bytes": (rows[:32].tobytes(), raw, 32, 4),
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    with running_service(BUNDLE) as service, tqdm(total=ROUNDS * len(cases) * 2, desc="bench") as bar:
        for _ in range(ROUNDS):
            for name, (body, media_type, count, connections) in cases.items():
                yardstick = bare(rows, count)
                bar.update()
                results[name].append((yardstick, served(service.port, body, media_type, connections, count)))
                bar.update()
    lines = [f"{'request':<20} {'bare rows/s':>12} {'served rows/s':>14} {'ratio':>6}"]
    for name, pairs in results.items():
        bare_rate, served_rate = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for other, one in pairs)
        lines.append(f"{name:<20} {bare_rate:>12.0f} {served_rate:>14.0f} {ratio:>6.2f}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.write(f"{usable_cores()} cores, which the load generator shares; {ROUNDS} rounds of {SECONDS:g} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
