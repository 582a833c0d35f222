"""`python -m tests.bench.drift`: what the drift detectors cost, and how soon they see harm."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from service.drift import ks
from service.drift.score_evidence import ScoreEvidence
from service.drift.state import Blocks
from tests.service.drift.test_evidence import clean, contaminated, rows_to_alarm

RUNS = int(os.environ.get("RUNS", "300"))
OUT = Path(os.environ.get("OUT", "docs/benchmarks"))
SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
REFERENCES = (1000, 5000, 20_000)
MOST_ROWS = 50_000
ROWS_BETWEEN_FALSE_ALARMS = 100_000


def evidence_microseconds(reference_rows: int, request_rows: int) -> float:
    """A score's cost, 256 requests handed over at a time as the service does."""
    random = np.random.default_rng(0)
    detector = ScoreEvidence(np.sort(random.normal(size=reference_rows)), 10**12, 0.01)
    scores = random.normal(size=256 * request_rows)
    begin = time.perf_counter()
    rounds = 20
    for _ in range(rounds):
        detector.observe(Blocks.of(scores, request_rows))
    return (time.perf_counter() - begin) / rounds / len(scores) * 1e6


def ks_milliseconds(rows: int) -> float:
    random = np.random.default_rng(0)
    reference, window = np.sort(random.normal(size=rows)), random.normal(size=rows)
    begin = time.perf_counter()
    for _ in range(5):
        ks.two_sample(window, reference)
    return (time.perf_counter() - begin) / 5 * 1e3


def main() -> int:
    """Measure, draw, write."""
    costs = [
        f"- Evidence, reference of {rows} scores: {evidence_microseconds(rows, 1):.1f} us a score in requests of one "
        f"row, {evidence_microseconds(rows, 32):.2f} us in requests of 32"
        for rows in (1000, 10_000, 100_000)
    ]
    costs.append(f"- KS of 10,000 scores against 10,000: {ks_milliseconds(10_000):.1f} ms")
    delays: dict[int, list[float]] = {}
    with tqdm(total=len(REFERENCES) * len(SHARES) * RUNS, desc="delays") as bar:
        for rows in REFERENCES:
            for share in SHARES:
                runs = []
                for seed in range(RUNS):
                    reference = np.sort(clean(np.random.default_rng(50_000 + seed), rows))
                    runs.append(
                        rows_to_alarm(
                            reference, contaminated(share), ROWS_BETWEEN_FALSE_ALARMS, seed, most_rows=MOST_ROWS
                        )
                    )
                    bar.update()
                delays.setdefault(rows, []).append(float(np.mean(runs)))
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for rows, means in delays.items():
        axes.plot([100 * share for share in SHARES], means, marker="o", label=f"reference of {rows}")
    axes.set(xscale="log", yscale="log", xlabel="harmful traffic, %", ylabel="scores until the alarm (mean)")
    axes.legend()
    figure.savefig(OUT / f"{date}-drift.png", dpi=90, metadata={"Software": None})
    table = [
        "| reference | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |",
        "| --- |" + " ---: |" * len(SHARES),
    ]
    table += [f"| {rows} | " + " | ".join(f"{mean:.0f}" for mean in means) + " |" for rows, means in delays.items()]
    path = OUT / f"{date}-drift.md"
    path.write_text(
        f"# Drift detectors, {date}\n\n`python -m tests.bench.drift`. What they cost, on one core:\n\n"
        + "\n".join(costs)
        + "\n\nScores until `score_evidence` gives the alarm, by the share of traffic that turned harmful: means of "
        + f"{RUNS} streams, each against a reference of its own, at {ROWS_BETWEEN_FALSE_ALARMS} rows between false "
        + f"alarms and no tolerance; cut off at {MOST_ROWS}.\n\n"
        + "\n".join(table)
        + f"\n\n![delays]({date}-drift.png)\n"
    )
    sys.stdout.write(path.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
