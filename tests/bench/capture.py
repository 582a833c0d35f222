"""`python -m tests.bench.capture`: the cost of keeping flagged inputs, as ratios of two services in one run.

One service captures, the other does not. They get the same load in turns, so that other work on the machine affects
both.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from harmgauge.bundle.load import load
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.samples import read_samples
from tests.bench.load import wrk_is_missing
from tests.bench.options import BUNDLE
from tests.bench.pair import Seen, measure, quartiles
from tests.bench.proc import resident_mib
from tests.support.process import RunningService, fresh_service

SECONDS = float(os.environ.get("SECONDS", "2"))
ROUNDS = int(os.environ.get("ROUNDS", "40"))
CONNECTIONS = (4, 16)


def bodies(service: RunningService, rows: Rows) -> dict[str, list[bytes]]:
    """Single rows as raw bytes, by the share of them that is flagged; with none flagged, all differences are noise."""
    flags = service.score(rows)["is_adversarial"]
    flagged = [row.tobytes() for row, flag in zip(rows, flags, strict=True) if flag]
    clean = [row.tobytes() for row, flag in zip(rows, flags, strict=True) if not flag]
    return {"0 %": clean[:20], "5 %": [*clean[:19], flagged[0]], "100 %": flagged[:20]}


def main() -> int:
    """Measure and print."""
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    samples = read_samples(load(BUNDLE))
    say = sys.stdout.write
    with (
        tempfile.TemporaryDirectory() as folder,
        fresh_service(BUNDLE) as off,
        fresh_service(BUNDLE, capture_dir=Path(folder) / "captured") as on,
    ):
        say(f"at rest: {resident_mib(off.process.pid):.0f} MiB off, {resident_mib(on.process.pid):.0f} on\n")
        loads = bodies(off, samples.corrupted)
        seen: dict[tuple[str, int], list[tuple[Seen, Seen]]] = {}
        with tqdm(total=ROUNDS * len(loads) * len(CONNECTIONS), desc="bench") as bar:
            for number in range(ROUNDS):
                for share, sent in loads.items():
                    for connections in CONNECTIONS:
                        pair = {
                            captures: measure(on if captures else off, sent, connections, SECONDS)
                            for captures in ((False, True), (True, False))[number % 2]
                        }
                        seen.setdefault((share, connections), []).append((pair[False], pair[True]))
                        bar.update()
        time.sleep(1)
        heads = "rows/s off | p99 off, ms | p99 on / off | p50 on / off | rows/s on / off | CPU on / off"
        say(f"| flagged | connections | {heads} |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
        for (share, connections), pairs in seen.items():
            cells = [
                f"{statistics.median(before.load.requests_per_second for before, _ in pairs):.0f}",
                f"{statistics.median(before.load.p99_seconds for before, _ in pairs) * 1e3:.2f}",
                quartiles([after.load.p99_seconds / before.load.p99_seconds for before, after in pairs]),
                quartiles([after.load.p50_seconds / before.load.p50_seconds for before, after in pairs]),
                quartiles(
                    [after.load.requests_per_second / before.load.requests_per_second for before, after in pairs]
                ),
                quartiles([after.cpu_seconds / before.cpu_seconds for before, after in pairs]),
            ]
            say(f"| {share} | {connections} | {' | '.join(cells)} |\n")
        say(f"after it: {resident_mib(off.process.pid):.0f} MiB off, {resident_mib(on.process.pid):.0f} on\n")
        counted = {name: value for name, value in on.metrics().items() if "captur" in name}
        say("".join(f"{name}{labels or ''} {value:g}\n" for name, of in counted.items() for labels, value in of))
    return 0


if __name__ == "__main__":
    sys.exit(main())
