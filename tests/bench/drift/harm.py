"""The cost of accuracy and `harm`, how rare the false alarms of `harm` are, and how soon it detects harm."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry
from tqdm import tqdm

from harmgauge.drift.accuracy_window import AccuracyWindow
from harmgauge.drift.harm import Harm
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.state import Blocks
from harmgauge.observe.accuracy_metrics import ErrorCounters
from tests.bench.drift.plan import STREAMS, table
from tests.support.harm_streams import BASE, BOUND, Run, chances, stream

ROUNDS = 15
REQUESTS = 256
"""Requests passed at a time, as in the service."""

NULL_ROWS = 20_000
MOST_ROWS = 20_000
BETWEEN = 100_000
DROPS = (0.03, 0.04, 0.055, 0.075, 0.15, 0.3)
LARGEST = {1: "single rows", 20: "1 to 20 rows a request"}


def costs() -> dict[str, float]:
    """Microseconds per request of one row, the minimum over rounds in which the variants take turns."""
    random = np.random.default_rng(0)
    harm, counters = Harm(BASE, BOUND, 5000, 10**15), ErrorCounters("bench", CollectorRegistry())
    window = AccuracyWindow(1 - BASE, 0.05, 1000, tuple(map(str, range(10))))
    scores = ScoreEvidence(np.sort(random.normal(size=5000)), 10**12, 0.01)

    def count(blocks: Blocks) -> None:
        before = harm.logs
        harm.observe(blocks)
        counters.bet(harm.logs - before)
        window.observe(blocks)
        if blocks.error_probability is not None:
            counters.scored(blocks.error_probability)

    acts: dict[str, Callable[[Blocks], None]] = {
        "`harm`": harm.observe,
        "window of accuracy": window.observe,
        "both and all counters": count,
        "`score_evidence`, for comparison": scores.observe,
    }
    fed = [_requests(random) for _ in range(20)]
    best = dict.fromkeys(acts, float("inf"))
    for _ in range(ROUNDS):
        for name, act in acts.items():
            begin = time.perf_counter()
            for blocks in fed:
                act(blocks)
            best[name] = min(best[name], (time.perf_counter() - begin) / len(fed) / REQUESTS * 1e6)
    return best


def _requests(random: np.random.Generator) -> Blocks:
    return Blocks(
        random.normal(size=REQUESTS),
        np.ones(REQUESTS, np.intp),
        (None,) * REQUESTS,
        times=np.full(REQUESTS, time.monotonic()),
        error_probability=chances(random, REQUESTS, BASE).astype(np.float32),
        predictions=random.integers(0, 10, REQUESTS),
    )


def _runs(means: Sequence[float], rows: int, largest: int, bar: tqdm[Any]) -> list[Run]:
    """A stream for each mean, with seeds from 0 on."""
    found = []
    for seed, mean in enumerate(means):
        found.append(stream(seed, mean, rows, largest=largest, between=BETWEEN))
        bar.update()
    return found


def section() -> str:
    cost = costs()
    null, delays = [], []
    with tqdm(total=len(LARGEST) * STREAMS * (2 + len(DROPS)), desc="harm") as bar:
        for largest, name in LARGEST.items():
            alarms = [
                np.mean([run.rows is not None for run in _runs([mean] * STREAMS, NULL_ROWS, largest, bar)])
                for mean in (BASE, BOUND)
            ]
            null.append([name, *(f"{share:.3f}" for share in alarms)])
            cells = []
            for drop in DROPS:
                runs = _runs([BASE + drop] * STREAMS, MOST_ROWS, largest, bar)
                rows = [MOST_ROWS if run.rows is None else run.rows for run in runs]
                cells.append(f"{np.mean(rows):.0f} ({np.quantile(rows, 0.95):.0f})")
            delays.append([name, *cells])
    return (
        "`harm`: P of independent rows, Beta with the spread of the shipped bundle's clean P; base "
        f"{BASE:g}, tolerated mean of P {BOUND:g}, {BETWEEN:,} rows between false alarms, {STREAMS} seeded streams a "
        "cell.\n\nMicroseconds of a request of one row, 256 passed at a time, on one core:\n\n"
        + "\n".join(f"- {name}: {microseconds:.2f}" for name, microseconds in cost.items())
        + f"\n\nShare of streams of {NULL_ROWS:,} rows with an alarm; at most {NULL_ROWS / BETWEEN:g} may have one:\n\n"
        + table(["", "clean", "at the very bound"], null)
        + "\n\nRows until the alarm by the drop of accuracy: mean (95th percentile), cut off at "
        + f"{MOST_ROWS:,}:\n\n"
        + table(["", *(f"{drop:g}" for drop in DROPS)], delays)
    )
