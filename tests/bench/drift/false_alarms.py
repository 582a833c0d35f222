"""False alarms on clean traffic: of `score_evidence` against its guarantee, of `score_ks` against what was asked."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from harmgauge.drift import evidence
from harmgauge_models.evaluation.alarms import rows_to_ks_alarm
from tests.bench.drift.plan import STREAMS, table
from tests.bench.drift.streams import Streams
from tests.support.scores import clean

REFERENCES = (100, 200, 500, 5000)
STREAM_ROWS = 20_000
RATES = (100_000, 1_000_000)
KS_SETTINGS = ((1000, 100), (1000, 500), (1000, 1000), (5000, 100), (5000, 500), (5000, 1000))
"""Reference rows and window rows."""

KS_BETWEEN = 10_000
KS_TIMES = 8
KS_STREAMS = max(1, STREAMS // 4)


def section() -> str:
    return f"{_evidence()}\n\n{_ks()}"


def _evidence() -> str:
    rows = []
    for reference_rows in tqdm(REFERENCES, desc="false alarms of score_evidence"):
        highest = Streams(reference_rows, 0, STREAMS, most_rows=STREAM_ROWS, seed=9000).highest()
        shares = [f"{np.mean(highest >= rate):.3f}" for rate in RATES]
        rows.append([f"{reference_rows:,}", *shares])
    bounds = [f"{STREAM_ROWS / rate + evidence.ERROR:.3f}" for rate in RATES]
    return (
        f"Share of {STREAMS} clean streams of {STREAM_ROWS:,} rows with an alarm of `score_evidence`, at tolerance "
        "0:\n\n"
        + table(
            ["reference rows", *(f"{rate:,} rows between false alarms" for rate in RATES)],
            [*rows, ["guaranteed: at most", *bounds]],
        )
    )


def _ks() -> str:
    rows = []
    for reference_rows, window_rows in tqdm(KS_SETTINGS, desc="false alarms of score_ks"):
        runs = [
            rows_to_ks_alarm(
                np.sort(clean(np.random.default_rng(70_000 + seed), reference_rows)),
                clean,
                clean,
                window_rows=window_rows,
                rows_between_false_alarms=KS_BETWEEN,
                most_rows=KS_TIMES * KS_BETWEEN,
                seed=seed,
            )
            for seed in range(KS_STREAMS)
        ]
        rows.append([f"{reference_rows:,}", f"{window_rows:,}", f"{np.mean(runs) / KS_BETWEEN:.1f}"])
    return (
        f"Mean run of `score_ks` to a false alarm, as a multiple of the {KS_BETWEEN:,} rows asked; {KS_STREAMS} "
        f"streams, cut off at {KS_TIMES} times that:\n\n" + table(["reference rows", "window rows", "times"], rows)
    )
