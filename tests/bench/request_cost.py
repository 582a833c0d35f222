"""`python -m tests.bench.request_cost`: the CPU time of a request on the event loop's thread and on the others, by
telemetry variant.

Everything runs in this process without a socket, so other work on the machine hardly matters.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from harmgauge.app import Service, build
from harmgauge.observe import logs
from harmgauge.settings import load
from tests.bench.collector import collector
from tests.support.asgi import score_raw
from tests.support.toy import instances, toy_bundle

REQUESTS = 300
ROUNDS = int(os.environ.get("ROUNDS", "15"))
SHAPE = (4, 4, 3)
VARIANTS: dict[str, tuple[dict[str, str], str]] = {
    "neither": ({"HARMGAUGE_ACCESS_LOG": "off"}, "0"),
    "refusals logged (the default)": ({}, "0"),
    "all requests logged, as JSON": ({"HARMGAUGE_ACCESS_LOG": "all"}, "0"),
    "traces of none": ({"HARMGAUGE_TRACING": "true"}, "0"),
    "traces of 1 %": ({"HARMGAUGE_TRACING": "true"}, "0.01"),
    "traces of all": ({"HARMGAUGE_TRACING": "true"}, "1"),
}


async def measure(bundle: Path, endpoint: str) -> dict[str, tuple[float, float]]:
    """The least CPU seconds per request over the rounds, by variant: on the event loop's thread, and on all others."""
    body = instances(1, SHAPE).tobytes()
    services: dict[str, Service] = {}
    for name, (settings, ratio) in VARIANTS.items():
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER_ARG": ratio}
        with patch.dict(os.environ, variables | {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}):
            services[name] = build(load({"HARMGAUGE_BUNDLE": str(bundle), "HARMGAUGE_WORKERS": "1"} | settings))
        services[name].readiness.ready()
    best = dict.fromkeys(services, (1.0, 1.0))
    for _ in range(ROUNDS):
        for name in random.sample(list(services), len(services)):
            begin, begin_all = time.thread_time(), time.process_time()
            for _ in range(REQUESTS):
                assert await score_raw(services[name], body) == 200
            own = time.thread_time() - begin
            others = time.process_time() - begin_all - own
            best[name] = min(best[name][0], own / REQUESTS), min(best[name][1], others / REQUESTS)
    return best


def main() -> int:
    """Measure and print."""
    logs.configure("info", "json")
    with tempfile.TemporaryDirectory() as folder, collector() as endpoint, Path(os.devnull).open("w") as nowhere:
        for handler in logging.getLogger().handlers:
            assert isinstance(handler, logging.StreamHandler)
            handler.setStream(nowhere)
        best = asyncio.run(measure(toy_bundle(Path(folder)), endpoint))
    lines = ["| | us of the loop's thread | more than neither | us of other threads |", "| --- | ---: | ---: | ---: |"]
    base = best["neither"][0]
    lines += [
        f"| {name} | {own * 1e6:.1f} | {(own - base) * 1e6:+.1f} | {others * 1e6:.0f} |"
        for name, (own, others) in best.items()
    ]
    sys.stdout.write("\n".join(lines) + f"\nthe least of {ROUNDS} rounds of {REQUESTS} requests\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
