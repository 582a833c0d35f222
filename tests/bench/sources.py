"""`python -m tests.bench.sources`: what named sources cost, as ratios of two services in one run.

The requests to one service name their source in a header, those to the other do not. SECONDS is the length of a load,
ROUNDS the number of pairs.
"""

from __future__ import annotations

import os
import statistics
import sys

from tqdm import tqdm

from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from tests.bench.load import wrk_is_missing
from tests.bench.options import BUNDLE
from tests.bench.pair import Seen, measure, quartiles
from tests.support.process import RunningService, fresh_service

SECONDS = float(os.environ.get("SECONDS", "2"))
ROUNDS = int(os.environ.get("ROUNDS", "40"))
CONNECTIONS = (4, 16)
SOURCES = 100
BODIES = 20


def main() -> int:
    """Measure and print."""
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    bodies = [row.tobytes() for row in read_samples(load(BUNDLE)).clean[:BODIES]]
    seen: dict[int, list[tuple[Seen, Seen]]] = {connections: [] for connections in CONNECTIONS}
    with fresh_service(BUNDLE) as off, fresh_service(BUNDLE) as on:
        for number in tqdm(range(ROUNDS), desc="bench"):
            for connections, pairs in seen.items():
                pair: dict[bool, Seen] = {}
                for is_named in ((False, True), (True, False))[number % 2]:
                    service = on if is_named else off
                    pair[is_named] = measure(service, bodies, connections, SECONDS, sources=SOURCES if is_named else 0)
                pairs.append((pair[False], pair[True]))
        counts = _sources(off), _sources(on)
    if counts[0] or not counts[1]:
        raise RuntimeError(f"the services monitored {counts[0]} and {counts[1]} sources, not 0 and up to {SOURCES}")
    rows = [
        f"| {connections} | {statistics.median(off.load.requests_per_second for off, _ in pairs):.0f} "
        f"| {statistics.median(off.cpu_seconds for off, _ in pairs) * 1e6:.0f} "
        f"| {quartiles([on.load.requests_per_second / off.load.requests_per_second for off, on in pairs])} "
        f"| {quartiles([on.cpu_seconds / off.cpu_seconds for off, on in pairs])} |\n"
        for connections, pairs in seen.items()
    ]
    sys.stdout.write(
        f"Requests of one row from {SOURCES} sources, against requests without a source: median of {ROUNDS} pairs of "
        f"loads of {SECONDS:g} s (quartiles).\n\n"
        "| connections | requests/s without | CPU us of a request without | requests/s, ratio | CPU, ratio |\n"
        "| ---: | ---: | ---: | ---: | ---: |\n" + "".join(rows)
    )
    return 0


def _sources(service: RunningService) -> int:
    return round(sum(count for _, count in service.metrics()["harmgauge_sources"]))


if __name__ == "__main__":
    sys.exit(main())
