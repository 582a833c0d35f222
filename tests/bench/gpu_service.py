"""The service on a GPU (or on PROVIDERS=cpu) under load, during a swap, and at its end: for `tests.bench.gpu`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from harmgauge.auth.keys import new_key
from harmgauge.bundle.rows import Rows
from harmgauge.inference.providers import Providers
from tests.bench.load import closed_loop
from tests.bench.options import BUNDLE, SECONDS
from tests.bench.proc import cpu_time, resident_mib
from tests.bench.requests import RAW
from tests.bench.service import settle
from tests.support.process import RunningService, fresh_service

OTHER_BUNDLE = Path(os.environ.get("OTHER_BUNDLE", "models/bundles/cifar10-resnet32/1"))

CASES = ((1, 1), (1, 16), (1, 64), (32, 1), (32, 16), (32, 64), (256, 4), (256, 16))
"""Rows per request, connections. Together they fit into the queue of 4096 rows."""

KEY, KEY_LINE = new_key("bench")

say = sys.stdout.write


def measure_service(rows: Rows, providers: Providers, best_rows_per_second: float) -> None:
    """Load on the real process; then a swap and a shutdown under load."""
    begin = time.perf_counter()
    with fresh_service(BUNDLE, providers=providers, admin_keys=KEY_LINE) as service:
        say(f"\nready {time.perf_counter() - begin:.1f} s after the start of the process; {_memory(service)}\n")
        say("\n| rows per request | connections | requests/s | rows/s | of the best bare run | p50 ms | p99 ms | ")
        say(f"rows per batch | CPU us per request |\n{'| --- ' * 9}|\n")
        for count, connections in CASES:
            settle(service)
            body = np.resize(rows, (count, *rows.shape[1:])).tobytes()
            before, used = _batches(service), cpu_time(service.process.pid).seconds
            load_seen = closed_loop(_url(service), body, RAW, connections, SECONDS)
            used, after = cpu_time(service.process.pid).seconds - used, _batches(service)
            rate = load_seen.requests_per_second
            rows_per_second = rate * count
            say(f"| {count} | {connections} | {rate:.0f} | {rows_per_second:.0f} | ")
            say(f"{rows_per_second / best_rows_per_second:.2f} | ")
            say(f"{load_seen.p50_seconds * 1e3:.2f} | {load_seen.p99_seconds * 1e3:.2f} | ")
            say(f"{(after[0] - before[0]) / (after[1] - before[1]):.1f} | {used / (rate * SECONDS) * 1e6:.0f} |\n")
            sys.stdout.flush()
        say(f"\nafter the load: {_memory(service)}\n")
        drift = service.client.get("/drift").json()["detectors"]
        states = [f"{name} {found['state']}" for name, found in drift.items()]
        say(f"drift: {', '.join(states)}\n")
        _swap(service, rows)
        _stop(service, rows)


def _swap(service: RunningService, rows: Rows) -> None:
    """Swap to another bundle and back while clients send requests."""
    with _clients(service, rows[:4].tobytes()) as answers:
        for folder in (OTHER_BUNDLE, BUNDLE):
            time.sleep(SECONDS / 4)
            begin, answered = time.perf_counter(), len(answers)
            swapped = service.client.post(
                "/admin/bundle", json={"folder": str(folder.resolve())}, headers={"Authorization": f"Bearer {KEY}"}
            )
            say(f"swap to {folder}: {swapped.status_code} in {time.perf_counter() - begin:.1f} s, ")
            say(f"{len(answers) - answered} requests answered meanwhile; {_memory(service)}\n")
            if swapped.status_code != 200:
                say(f"  {swapped.text}\n")
        time.sleep(SECONDS / 4)
    say(f"requests during both swaps: {len(answers)}, not answered with 200: {_failures(answers)}\n")


def _stop(service: RunningService, rows: Rows) -> None:
    """SIGTERM under load: requests in flight are answered, new connections refused."""
    with _clients(service, rows[:4].tobytes()) as answers:
        time.sleep(SECONDS / 4)
        begin = time.perf_counter()
        service.terminate()
        code = service.wait()
        say(f"SIGTERM under load: exit code {code} after {time.perf_counter() - begin:.2f} s; ")
    say(f"{len(answers)} requests, not answered with 200: {_failures(answers)}\n")


@contextmanager
def _clients(service: RunningService, body: bytes, count: int = 16) -> Iterator[list[str]]:
    """Clients that send the body all the time, until they are refused; yields the status or error of each answer."""
    answers: list[str] = []
    stop = threading.Event()

    def send() -> None:
        with httpx.Client(timeout=60, headers={"Content-Type": RAW}) as client:
            while not stop.is_set():
                try:
                    answers.append(str(client.post(_url(service), content=body).status_code))
                except httpx.ConnectError:  # the service no longer accepts connections
                    return
                except httpx.HTTPError as error:
                    answers.append(repr(error))

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _failures(answers: list[str]) -> dict[str, int]:
    return {each: answers.count(each) for each in set(answers) if each != "200"}


def _url(service: RunningService) -> str:
    return f"http://127.0.0.1:{service.port}/score"


def _batches(service: RunningService) -> tuple[float, float]:
    """Rows in batches so far, and the number of batches."""
    metrics = service.metrics()
    return metrics["harmgauge_batch_rows_sum"][0][1], metrics["harmgauge_batch_rows_count"][0][1]


def _memory(service: RunningService) -> str:
    return f"{resident_mib(service.process.pid):.0f} MiB resident, GPU in use: {nvidia_smi('--query-gpu=memory.used')}"


def nvidia_smi(query: str) -> str:
    """The figures that the query asks for, as one line for each GPU."""
    if shutil.which("nvidia-smi") is None:
        return "no GPU"
    return subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, check=True
    ).stdout.strip()
