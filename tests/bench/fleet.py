"""`python -m tests.bench.fleet`: how rarely the rules of a fleet raise false alarms, and how soon they detect harm."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.drift import evidence
from harmgauge.observe.collectors import bucket_bounds
from harmgauge_models.evaluation.alarms import Draw
from tests.support.scores import clean, contaminated

RUNS = int(os.environ.get("RUNS", "200"))
OUT = Path(os.environ.get("OUT", "docs/measurements/benchmarks"))
LOOKS = 40
"""A window of 10 minutes is evaluated every 15 seconds."""

MONTHLY = 0.08 * 10 / (30 * 24 * 60)
"""The largest p-value at which the rule raises an alarm."""

REPLICAS = (1, 10, 100)
SHARES = (0.05, 0.1, 0.2, 0.5)
ASKED = 1_000_000
TOLERANCE = 0.01

Scores = npt.NDArray[np.float64]


def log_p_values(counts: Scores, reference: Scores, bounds: Scores) -> Scores:
    """ln p by the rules' formula, (k,), for windows of counts in buckets (k, len(bounds) + 1)."""
    n, m = np.maximum(counts.sum(1), 1), len(reference)
    cdf = np.searchsorted(reference, bounds, side="right") / m
    statistics = np.abs(np.cumsum(counts, 1)[:, :-1] / n[:, None] - cdf).max(1)
    p_values: Scores = math.log(2) - 2 * statistics**2 * n * m / (n + m)
    return p_values


def in_buckets(scores: Scores, bounds: Scores) -> Scores:
    """The number of scores in each bucket, (k, len(bounds) + 1), for rows of scores (k, n)."""
    found = np.searchsorted(bounds, scores)
    return np.stack([np.bincount(row, minlength=len(bounds) + 1) for row in found]).astype(float)


def slide(steps: Scores) -> Scores:
    """The sums over LOOKS consecutive steps, (k, buckets) -> (k - LOOKS + 1, buckets)."""
    sums = np.cumsum(np.concatenate([np.zeros((1, steps.shape[1])), steps]), 0)
    windows: Scores = sums[LOOKS:] - sums[:-LOOKS]
    return windows


def ks_rows_to_false_alarm(seed: int, window_rows: int, reference_rows: int, asked: int, most_rows: int) -> float:
    random = np.random.default_rng(seed)
    reference = np.sort(random.random(reference_rows))  # KS is the same for every continuous distribution
    bounds = bucket_bounds(reference)
    shares, step_rows = np.diff([0, *bounds, 1]), window_rows / LOOKS
    kept, rows = np.zeros((0, len(shares))), 0.0
    while rows < most_rows:
        steps = np.concatenate([kept, random.multinomial(random.poisson(step_rows, 4000), shares)])
        windows = slide(steps)
        threshold = 0.08 * windows.sum(1) / asked
        alarms = np.flatnonzero(log_p_values(windows, reference, bounds) <= np.log(threshold))
        if len(alarms):
            return float(min(most_rows, rows + (alarms[0] + LOOKS - len(kept)) * step_rows))
        rows += 4000 * step_rows
        kept = steps[1 - LOOKS :]
    return most_rows


def ks_rows_to_alarm(seed: int, window_rows: int, draw: Draw, most_rows: int) -> float:
    """Rows until the alarm, starting with a window full of clean scores."""
    random = np.random.default_rng(seed)
    reference = np.sort(clean(random, 5000))
    bounds = bucket_bounds(reference)
    step_rows = window_rows // LOOKS
    scores = np.concatenate([clean(random, window_rows), draw(random, most_rows)])
    windows = slide(in_buckets(scores[: len(scores) // step_rows * step_rows].reshape(-1, step_rows), bounds))
    alarms = np.flatnonzero(log_p_values(windows, reference, bounds) <= math.log(MONTHLY))
    return float(min(most_rows, alarms[0] * step_rows)) if len(alarms) else most_rows


def evidence_rows_to_alarm(
    seed: int, replicas: int, draw: Draw, *, reference_rows: int, asked: int, tolerance: float, most_rows: int
) -> float:
    """Rows of the whole fleet until the sum of the replicas' evidence reaches `asked`; the replicas take turns."""
    random = np.random.default_rng(seed)
    ranks = evidence.Ranks(np.sort(clean(random, reference_rows)), random)
    states, null = [evidence.start(reference_rows)] * replicas, evidence.Null.of(reference_rows, tolerance)
    turns = evidence.MAX_BLOCKS
    one = np.ones(turns)
    for rows in range(0, most_rows, replicas * turns):
        gaps = ranks.gaps(draw(random, replicas * turns))
        inside = evidence.hits(gaps, np.ones(len(gaps), np.intp), reference_rows).reshape(replicas, turns, -1)
        found = [evidence.bet(state, own, one, null) for state, own in zip(states, inside, strict=True)]
        states = [state for state, _ in found]
        alarms = np.flatnonzero(np.sum([values for _, values in found], 0) >= asked)
        if len(alarms):
            return float(min(most_rows, rows + replicas * (alarms[0] + 1)))
    return most_rows


def power_by_buckets() -> str:
    """D and the share of alarms with 10 % harmful traffic, from all scores and from the buckets."""
    random = np.random.default_rng(0)
    found: dict[str, list[tuple[float, bool]]] = {}
    for _ in range(10 * RUNS):
        reference, window = np.sort(clean(random, 5000)), contaminated(0.1)(random, 1000)[None]
        for name, bounds in (
            ("all scores", reference),
            ("64 quantiles", bucket_bounds(reference)),
        ):
            log_p = float(log_p_values(in_buckets(window, bounds), reference, bounds)[0])
            found.setdefault(name, []).append(
                (math.sqrt((math.log(2) - log_p) * 6000 / 1e7), log_p <= math.log(MONTHLY))
            )
    lines = ["| buckets | mean D | alarms |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {np.mean(runs, 0)[0]:.4f} | {np.mean(runs, 0)[1]:.1%} |" for name, runs in found.items()]
    return "\n".join(lines)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---:"] * len(head), *lines))


def main() -> int:
    """Measure and write the results."""
    ks_false, evidence_false, delays = [], [], []
    with tqdm(total=6 + 8 + len(SHARES), desc="settings") as bar:
        for m in (1000, 5000):
            for n in (100, 1000, 10_000):
                rows = [ks_rows_to_false_alarm(seed, n, m, 100 * n, 800 * n) for seed in range(RUNS)]
                ks_false.append((f"{n}", f"{m}", f"{np.mean(rows) / (100 * n):.1f}"))
                bar.update()
        for m in (100, 5000):
            for replicas in (1, 3, 10, 30):
                rows = [
                    evidence_rows_to_alarm(
                        seed, replicas, clean, reference_rows=m, asked=10_000, tolerance=0, most_rows=80_000
                    )
                    for seed in range(RUNS)
                ]
                evidence_false.append((f"{replicas}", f"{m}", f"{np.mean(rows) / 10_000:.2f}"))
                bar.update()
        for share in SHARES:
            draw, most = contaminated(share), 200_000
            means = [
                np.mean(
                    [
                        evidence_rows_to_alarm(
                            seed, replicas, draw, reference_rows=5000, asked=ASKED, tolerance=TOLERANCE, most_rows=most
                        )
                        for seed in range(RUNS)
                    ]
                )
                for replicas in REPLICAS
            ]
            means += [np.mean([ks_rows_to_alarm(seed, n, draw, most) for seed in range(RUNS)]) for n in (1000, 10_000)]
            delays.append((f"{share:.0%}", *(f"{mean:.0f}" for mean in means)))
            bar.update()
    path = OUT / f"{datetime.now(UTC):%Y-%m-%d}-fleet.md"
    sections = [
        f"# Drift of a fleet, {datetime.now(UTC):%Y-%m-%d}",
        f"`python -m tests.bench.fleet`, means of {RUNS} streams, each against a reference of its own.",
        "## Rows to a false alarm, in multiples of the rows asked for\n\nKS over the whole fleet, p <= 0.08 n / asked, "
        "every 15 seconds of a window of 10 minutes; 100 windows asked for, cut off at 8 times that.",
        table(("n rows in the window", "m of the reference", "of what was asked"), ks_false),
        "Evidence, summed over the replicas, without tolerance; 10,000 rows asked for, cut off at 8 times that.",
        table(("replicas", "m of the reference", "of what was asked"), evidence_false),
        f"## Rows of the whole fleet until the alarm\n\nAfter a share of the traffic turned harmful: {ASKED} rows "
        f"asked for, tolerance {TOLERANCE}, reference of 5000; cut off at 200,000.",
        table(
            ("harmful", *(f"evidence, replicas: {count}" for count in REPLICAS), "KS, n = 1000", "KS, n = 10,000"),
            delays,
        ),
        f"## What the buckets cost\n\nn = 1000 with 10 % harmful, m = 5000, alarm at p <= {MONTHLY:.2g}.",
        power_by_buckets(),
    ]
    path.write_text("\n\n".join(sections) + "\n")
    sys.stdout.write(path.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
