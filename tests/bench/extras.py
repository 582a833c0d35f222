"""`python -m tests.bench.extras`: the cost per request of keys, rate limit, capture, logs and traces, as ratios of a
round.

Each variant is a process, and all run side by side: a round loads one after another, in random order. One image in
twenty is flagged. The collector, which is on another machine in production, reads and discards what it receives.
`ONLY="keys and limit;capture"` measures only those variants.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from unittest.mock import patch

from tqdm import tqdm

from harmgauge.auth.keys import new_key
from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from tests.bench.capture import bodies
from tests.bench.collector import collector
from tests.bench.load import mixed_loop, paced_loop, wrk_is_missing
from tests.bench.options import BUNDLE
from tests.bench.proc import cpu_time
from tests.bench.requests import RAW
from tests.support.process import RunningService, fresh_service

SECONDS = float(os.environ.get("SECONDS", "2"))
ROUNDS = int(os.environ.get("ROUNDS", "20"))
CONNECTIONS = 16
PACE = float(os.environ.get("PACE", "200"))
"""Requests per second for measuring latency: so far below capacity that no queue is measured."""

KEY, LINE = new_key("bench")
KEYS: dict[str, object] = {"api_keys": LINE, "client_key": KEY, "rows_per_second_per_key": 1_000_000}
OFF = "all off"
CAPTURED = "CAPTURED"
"""Replaced by a folder for each service."""


@dataclass(frozen=True)
class Variant:
    """Settings that differ from the defaults, and the ratio of requests that are traced."""

    settings: dict[str, object]
    ratio: float | None = None


CAPTURE: dict[str, object] = {"capture_dir": CAPTURED}
EVERYTHING = KEYS | CAPTURE | {"log_format": "json"}
VARIANTS = {
    OFF: Variant({"access_log": "off"}),
    "all off, again": Variant({"access_log": "off"}),
    "keys and limit": Variant(KEYS),
    "capture": Variant(CAPTURE),
    "all requests as JSON": Variant({"log_format": "json", "access_log": "all"}),
    "traces of 1 %": Variant({}, 0.01),
    "traces of all": Variant({}, 1.0),
    "keys, limit, capture, JSON, traces of 1 %": Variant(EVERYTHING, 0.01),
    "keys, limit, capture, JSON, traces of all": Variant(EVERYTHING, 1.0),
}
WANTED = {OFF} | set(os.environ.get("ONLY", ";".join(VARIANTS)).split(";"))


@dataclass(frozen=True)
class Seen:
    """The results of one variant in one round: rate and CPU time at full load, latency at PACE."""

    requests_per_second: float
    cpu_seconds_per_request: float
    p50_seconds: float
    p99_seconds: float


@contextmanager
def running(variant: Variant, endpoint: str) -> Iterator[RunningService]:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
    variables["OTEL_TRACES_SAMPLER_ARG"] = str(variant.ratio)
    tracing = {"tracing": "true"} if variant.ratio is not None else {}
    with TemporaryDirectory() as folder, patch.dict(os.environ, variables):
        own = {name: folder if value == CAPTURED else value for name, value in variant.settings.items()}
        with fresh_service(BUNDLE, **tracing, **own) as service:
            yield service


def look(service: RunningService, key: str | None, sent: list[bytes]) -> Seen:
    url = f"http://127.0.0.1:{service.port}/score"
    before = cpu_time(service.process.pid).seconds
    full = mixed_loop(url, sent, RAW, CONNECTIONS, SECONDS, key)
    cpu = cpu_time(service.process.pid).seconds - before
    paced = paced_loop(url, sent, RAW, PACE, SECONDS, key)
    rate = full.requests_per_second
    return Seen(rate, cpu / (rate * SECONDS), paced.p50_seconds, paced.p99_seconds)


def main() -> int:
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    rounds: list[dict[str, Seen]] = []
    with ExitStack() as stack:
        endpoint = stack.enter_context(collector())
        services = {
            name: stack.enter_context(running(variant, endpoint))
            for name, variant in VARIANTS.items()
            if name in WANTED
        }
        sent = bodies(services[OFF], read_samples(load(BUNDLE)).corrupted)["5 %"]
        bar = stack.enter_context(tqdm(total=ROUNDS * len(services), desc="bench"))
        for _ in range(ROUNDS):
            seen: dict[str, Seen] = {}
            for name in random.sample(list(services), len(services)):
                seen[name] = look(services[name], KEY if "api_keys" in VARIANTS[name].settings else None, sent)
                bar.update()
            rounds.append(seen)
    lines = ["| | requests/s | CPU us a request | p50 | p99 | of `all off`: rate | CPU | p50 | p99 |"]
    lines.append("| --- |" + " ---: |" * 8)
    for name in services:
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
