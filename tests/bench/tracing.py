"""`python -m tests.bench.tracing`: what keys, a limit, logs and traces cost a request, as ratios of the same round.

Every variant is a process of its own, and all run side by side: a round loads one after the other. The collector, which
in truth is elsewhere, reads what it is sent and throws it away. `all off` is there twice: what lies between the two is
noise.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest.mock import patch

from tqdm import tqdm

from service.inference.bundle import load
from service.keys import new_key
from service.samples import read_samples
from tests.bench.__main__ import BUNDLE, RAW
from tests.bench.load import closed_loop, paced_loop, wrk_is_missing
from tests.bench.page import cpu_seconds
from tests.process import RunningService, running_service

SECONDS = float(os.environ.get("SECONDS", "2"))
ROUNDS = int(os.environ.get("ROUNDS", "20"))
CONNECTIONS = 16
PACE = float(os.environ.get("PACE", "200"))
"""Requests a second where latency is measured: far from full, so that it is no queue that is measured."""

KEY, LINE = new_key("bench")
KEYS: dict[str, object] = {"api_keys": LINE, "client_key": KEY, "rows_per_second_per_key": 1_000_000}
OFF = "all off"


@dataclass(frozen=True)
class Variant:
    """Settings beside the defaults, and the ratio of requests that are traced."""

    settings: dict[str, object]
    ratio: float | None = None


VARIANTS = {
    OFF: Variant({"access_log": "off"}),
    "all off, again": Variant({"access_log": "off"}),
    "all requests as JSON": Variant({"log_format": "json", "access_log": "all"}),
    "traces of 1 %": Variant({}, 0.01),
    "traces of all": Variant({}, 1.0),
    "keys, limit, JSON, traces of 1 %": Variant(KEYS | {"log_format": "json"}, 0.01),
    "keys, limit, JSON, traces of all": Variant(KEYS | {"log_format": "json"}, 1.0),
}


@dataclass(frozen=True)
class Seen:
    """Of one variant in one round: rate and CPU at full load, latency at PACE."""

    requests_per_second: float
    cpu_seconds_per_request: float
    p50_seconds: float
    p99_seconds: float


@contextmanager
def collector() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@contextmanager
def running(variant: Variant, endpoint: str) -> Iterator[RunningService]:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
    variables["OTEL_TRACES_SAMPLER_ARG"] = str(variant.ratio)
    tracing = {"tracing": "true"} if variant.ratio is not None else {}
    with patch.dict(os.environ, variables), running_service(BUNDLE, **tracing, **variant.settings) as service:
        yield service


def look(service: RunningService, key: str | None, body: bytes) -> Seen:
    url = f"http://127.0.0.1:{service.port}/score"
    before = cpu_seconds(service.process.pid)
    full = closed_loop(url, body, RAW, CONNECTIONS, SECONDS, key)
    cpu = cpu_seconds(service.process.pid) - before
    paced = paced_loop(url, body, RAW, PACE, SECONDS, key)
    rate = full.requests_per_second
    return Seen(rate, cpu / (rate * SECONDS), paced.p50_seconds, paced.p99_seconds)


def main() -> int:
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    body = read_samples(load(BUNDLE)).clean[:1].tobytes()
    rounds: list[dict[str, Seen]] = []
    with ExitStack() as stack:
        endpoint = stack.enter_context(collector())
        services = {name: stack.enter_context(running(variant, endpoint)) for name, variant in VARIANTS.items()}
        bar = stack.enter_context(tqdm(total=ROUNDS * len(services), desc="bench"))
        for _ in range(ROUNDS):
            seen: dict[str, Seen] = {}
            for name in random.sample(list(services), len(services)):
                seen[name] = look(services[name], KEY if "api_keys" in VARIANTS[name].settings else None, body)
                bar.update()
            rounds.append(seen)
    lines = ["| | requests/s | CPU us a request | p50 | p99 | of `all off`: rate | CPU | p50 | p99 |"]
    lines.append("| --- |" + " ---: |" * 8)
    for name in VARIANTS:
        columns = [
            statistics.median(getattr(seen[name], what) for seen in rounds) for what in Seen.__dataclass_fields__
        ]
        ratios = [
            statistics.median(getattr(seen[name], what) / getattr(seen[OFF], what) for seen in rounds)
            for what in Seen.__dataclass_fields__
        ]
        rate, cpu, p50, p99 = columns
        shown = [f"{rate:.0f}", f"{cpu * 1e6:.0f}", f"{p50 * 1e3:.2f} ms", f"{p99 * 1e3:.2f} ms"]
        lines.append(f"| {name} | " + " | ".join(shown + [f"{ratio:.2f}" for ratio in ratios]) + " |")
    sys.stdout.write(
        "\n".join(lines)
        + f"\nmedians of {ROUNDS} rounds, {CONNECTIONS} connections at full load, latency at {PACE:g} requests/s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
