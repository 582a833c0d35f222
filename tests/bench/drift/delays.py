"""`python -m tests.bench.drift`: the cost of the drift detectors, and how soon they detect harm."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from harmgauge.drift import ks, mmd
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.state import Blocks
from harmgauge_models.evaluation.alarms import rows_to_evidence_alarm, rows_to_ks_alarm
from tests.support.scores import clean, contaminated

RUNS = int(os.environ.get("RUNS", "300"))
KS_RUNS = max(1, RUNS // 4)
OUT = Path(os.environ.get("OUT", "docs/measurements/benchmarks"))
SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
REFERENCES = (1000, 5000, 20_000)
MOST_ROWS = 50_000
ROWS_BETWEEN_FALSE_ALARMS = 100_000
KS_WINDOWS = (500, 2000)
KS_REFERENCE_ROWS = 5000
PERMUTATIONS = 9999
"""The number that the default of a million rows between false alarms requires."""


def evidence_microseconds(reference_rows: int, request_rows: int) -> float:
    """The cost per score of `score_evidence`, with 256 requests passed at a time as in the service."""
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


def mmd_milliseconds(width: int, shift: float) -> float:
    """CPU time of one test with the default window and 1000 reference rows; with a shift, all permutations are run."""
    random = np.random.default_rng(0)
    reference = random.normal(size=(1000, width)).astype(np.float32)
    recent = random.normal(shift, 1, (500, width)).astype(np.float32)
    begin = time.process_time()
    mmd.permutation_test(reference, recent, PERMUTATIONS, random)
    return (time.process_time() - begin) * 1e3


def ks_delays(bar: tqdm[Any]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for window_rows in KS_WINDOWS:
        for share in SHARES:
            runs = []
            for seed in range(KS_RUNS):
                reference = np.sort(clean(np.random.default_rng(50_000 + seed), KS_REFERENCE_ROWS))
                runs.append(
                    rows_to_ks_alarm(
                        reference,
                        clean,
                        contaminated(share),
                        window_rows=window_rows,
                        rows_between_false_alarms=ROWS_BETWEEN_FALSE_ALARMS,
                        most_rows=MOST_ROWS,
                        seed=seed,
                    )
                )
                bar.update()
            found.setdefault(f"`score_ks`, window {window_rows}, reference {KS_REFERENCE_ROWS}", []).append(
                float(np.mean(runs))
            )
    return found


def main() -> int:
    """Measure, draw and write the results."""
    costs = [
        f"- Evidence, reference of {rows} scores: {evidence_microseconds(rows, 1):.1f} us a score in requests of one "
        f"row, {evidence_microseconds(rows, 32):.2f} us in requests of 32"
        for rows in (1000, 10_000, 100_000)
    ]
    costs.append(f"- KS of 10,000 scores against 10,000: {ks_milliseconds(10_000):.1f} ms")
    costs += [
        f"- `feature_mmd`, 500 rows of {width} features against 1000: {mmd_milliseconds(width, 0):.0f} ms of a core a "
        f"test, {mmd_milliseconds(width, 0.5):.0f} ms where p is small and all {PERMUTATIONS} permutations are drawn"
        for width in (64, 2048)
    ]
    delays: dict[str, list[float]] = {}
    with tqdm(total=(len(REFERENCES) * RUNS + len(KS_WINDOWS) * KS_RUNS) * len(SHARES), desc="delays") as bar:
        for rows in REFERENCES:
            for share in SHARES:
                runs = []
                for seed in range(RUNS):
                    reference = np.sort(clean(np.random.default_rng(50_000 + seed), rows))
                    runs.append(
                        rows_to_evidence_alarm(
                            reference, contaminated(share), ROWS_BETWEEN_FALSE_ALARMS, seed=seed, most_rows=MOST_ROWS
                        )
                    )
                    bar.update()
                delays.setdefault(f"`score_evidence`, reference {rows}", []).append(float(np.mean(runs)))
        delays |= ks_delays(bar)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, means in delays.items():
        style = "--" if "score_ks" in name else "-"
        axes.plot([100 * share for share in SHARES], means, style, marker="o", label=name.replace("`", ""))
    axes.set(xscale="log", yscale="log", xlabel="harmful traffic, %", ylabel="scores until the alarm (mean)")
    axes.legend(fontsize=7)
    figure.savefig(OUT / f"{date}-drift.png", dpi=90, metadata={"Software": None})
    table = [
        "| detector | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |",
        "| --- |" + " ---: |" * len(SHARES),
    ]
    table += [f"| {name} | " + " | ".join(f"{mean:.0f}" for mean in means) + " |" for name, means in delays.items()]
    path = OUT / f"{date}-drift.md"
    path.write_text(
        f"# Drift detectors, {date}\n\n`python -m tests.bench.drift`. What they cost, on one core:\n\n"
        + "\n".join(costs)
        + "\n\nScores until the alarm is given, by the share of traffic that turned harmful: means of "
        + f"{RUNS} streams (`score_ks`: {KS_RUNS}), each against a reference of its own, at "
        + f"{ROWS_BETWEEN_FALSE_ALARMS} rows between false alarms and no tolerance; cut off at {MOST_ROWS}.\n\n"
        + "\n".join(table)
        + f"\n\n![delays]({date}-drift.png)\n"
    )
    sys.stdout.write(path.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
