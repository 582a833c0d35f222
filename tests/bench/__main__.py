"""`make bench`: the real process under real load generators, compared with bare ONNX Runtime in alternation.

`PRECISION=int8 make bench` measures the bundle's graph in 8 bits.
"""

from __future__ import annotations

import os
import statistics
import sys

from tqdm import tqdm

from harmgauge.bundle.load import load
from harmgauge.bundle.samples import read_samples
from tests.bench import camera, half_load, named, overload, record, report, startup, system_calls
from tests.bench.bare import Baseline
from tests.bench.load import wrk_is_missing
from tests.bench.options import BUNDLE, OUT, PRECISION, SECONDS
from tests.bench.point import Alternation, Point, median
from tests.bench.requests import RAW, cases
from tests.bench.service import settle
from tests.support.process import fresh_service

ROUNDS = int(os.environ.get("ROUNDS", "3"))
STARTS = 3


def main() -> int:
    """Measure, print the tables, and write them to `docs/measurements/benchmarks`, with all figures as JSON."""
    if wrk_is_missing():
        sys.stderr.write("the benchmark needs wrk: apt install wrk\n")
        return 1
    bundle = load(BUNDLE, PRECISION)
    baseline, rows, wanted = Baseline(bundle), read_samples(bundle).clean, cases(bundle)
    raw = wanted[0]
    plan = [(case, connections) for case in wanted for connections in case.connections]
    with (
        fresh_service(BUNDLE, precision=PRECISION) as service,
        tqdm(total=ROUNDS * len(plan) + 1, desc="bench") as bar,
    ):
        alternation = Alternation(service, baseline, rows, SECONDS)
        seen: dict[tuple[str, int], list[Point]] = {}
        for _ in range(ROUNDS):
            for case, connections in plan:
                seen.setdefault((case.request, connections), []).append(alternation.measure(case, connections))
                bar.update()
        points = [median(rounds) for rounds in seen.values()]
        capacity = next(p.rows_per_second for p in points if (p.request, p.connections) == (raw.request, 16))
        settle(service)
        half = half_load.measure(service, raw, baseline, rows[:1], capacity / 2, SECONDS * ROUNDS)
        bar.update()
        calls = system_calls.count(service, (case for case in wanted if case.request in report.ACCOUNTED))
    others, notes_of_others = [camera.measure(SECONDS, ROUNDS)], []
    for line, note in named.measure(ROUNDS, SECONDS):
        others.append(line)
        notes_of_others.append(note)
    results = record.Results(
        rounds=ROUNDS,
        seconds=SECONDS,
        bare_rows_per_second=statistics.median(point.rows_per_second / point.ratio for point in seen[raw.request, 16]),
        points=points,
        others=others,
        system_calls=calls,
        half_load=half,
        overload=overload.measure(BUNDLE, rows, RAW, 2 * SECONDS, precision=PRECISION),
        startup=startup.measure(STARTS),
    )
    lines = [*points, *others]
    costs = report.cost_table(points, calls)
    notes = [
        f"Bare ONNX Runtime: {results.bare_rows_per_second:.0f} single rows/s.",
        *map(str, (half, results.overload, results.startup)),
        *notes_of_others,
        *report.bars(lines),
    ]
    path = report.write(OUT, lines, costs, notes)
    record.write(path.with_suffix(".json"), results)
    sys.stdout.write("\n".join([report.table(lines), "", costs, "", *notes, f"written to {path}\n"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
