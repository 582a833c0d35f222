"""`python -m tests.bench.minimal`: latency at half load next to the least that a server in Python can do.

The minimal server reads a request of fixed size, runs the graph on one thread per core, and answers "ok". What it adds
to the latency of bare runs comes from sockets, the event loop and the load generator on the same cores.
"""

from __future__ import annotations

import asyncio
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import uvloop
from tqdm import tqdm

from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from harmgauge.inference.providers import usable_cores
from harmgauge.inference.runtime import OnnxRuntime
from tests.bench.bare import Baseline
from tests.bench.half_load import Latency, bare_arrivals
from tests.bench.load import paced_loop, wrk_is_missing
from tests.bench.options import BUNDLE, SECONDS
from tests.bench.point import LAST_ROWS_SECONDS
from tests.bench.requests import RAW
from tests.conftest import ROOT
from tests.support.process import fresh_service

ROUNDS = 3
SHARE = 0.45
"""Requests per second, relative to the rows that bare runs score: half the capacity of the service."""

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

_Job = tuple[asyncio.Transport, bytes]


class _Protocol(asyncio.Protocol):
    """Puts each body of `size_bytes` into `jobs`."""

    def __init__(self, jobs: queue.SimpleQueue[_Job], size_bytes: int) -> None:
        self._jobs, self._size_bytes = jobs, size_bytes
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        begin = self._data.find(b"\r\n\r\n") + 4
        if begin >= 4 and len(self._data) >= begin + self._size_bytes:
            self._jobs.put((self._transport, self._data[begin : begin + self._size_bytes]))
            self._data = self._data[begin + self._size_bytes :]


async def _serve() -> None:
    bundle = load(BUNDLE)
    runtime, row = OnnxRuntime(bundle, "cpu"), read_samples(bundle).clean[:1]
    jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
    loop = asyncio.get_running_loop()

    def work() -> None:
        while True:
            transport, body = jobs.get()
            runtime.run(np.frombuffer(body, row.dtype).reshape(row.shape))
            loop.call_soon_threadsafe(_answer, transport)

    for _ in range(usable_cores()):
        threading.Thread(target=work, daemon=True).start()
    server = await loop.create_server(lambda: _Protocol(jobs, row.nbytes), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def _answer(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.write(_ANSWER)


@contextmanager
def _running() -> Iterator[int]:
    """The port of a minimal server in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.minimal", "serve"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def main() -> int:
    """Measure and print."""
    if sys.argv[1:] == ["serve"]:
        uvloop.run(_serve())
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    bundle = load(BUNDLE)
    baseline, row = Baseline(bundle), read_samples(bundle).clean[:1]
    rate = SHARE * baseline.run(row, SECONDS).rows_per_second
    found: dict[str, list[Latency]] = {}
    with fresh_service(BUNDLE) as service, _running() as port, tqdm(total=3 * ROUNDS, desc="half load") as bar:
        urls = {"minimal server": f"http://127.0.0.1:{port}/", "harmgauge": f"http://127.0.0.1:{service.port}/score"}
        for url in urls.values():
            paced_loop(url, [row.tobytes()], RAW, rate, SECONDS)
        for _ in range(ROUNDS):
            found.setdefault("bare runs", []).append(bare_arrivals(baseline, row, rate, 2 * SECONDS))
            bar.update()
            for name, url in urls.items():
                answered = paced_loop(url, [row.tobytes()], RAW, rate, 2 * SECONDS)
                found.setdefault(name, []).append(Latency(answered.p50_seconds, answered.p99_seconds))
                time.sleep(LAST_ROWS_SECONDS)
                bar.update()
    for name, seen in found.items():
        p50, p99 = (
            statistics.median(getattr(each, field) for each in seen) for field in ("p50_seconds", "p99_seconds")
        )
        middle = Latency(p50, p99)
        sys.stdout.write(f"{name}: {middle}, p99/p50 {middle.spread:.1f}\n")
    sys.stdout.write(f"{rate:.0f} requests/s with random pauses, medians of {ROUNDS} rounds\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
