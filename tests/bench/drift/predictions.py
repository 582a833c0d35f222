"""The predictions of `harmgauge check`, `build` and `/info` against simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tqdm import tqdm

from harmgauge.drift.detectable import COMMON_SHARE, Detectable
from tests.bench.drift.plan import STREAMS, table
from tests.bench.drift.streams import Float64, Streams
from tests.support.scores import harmful

SETTINGS = (
    (100, 0.01, 1_000_000),
    (200, 0.0, 1_000_000),
    (500, 0.01, 100_000),
    (1000, 0.0, 1_000_000),
    (5000, 0.01, 1_000_000),
    (5000, 0.0, 10_000_000),
)
"""Reference rows, tolerance, rows between false alarms."""

FACTORS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Multiples of the predicted share to simulate; the share that half of all streams detect lies between them."""

SHARE_STREAMS = max(1, STREAMS // 3)


def section() -> str:
    rows = []
    for setting in tqdm(SETTINGS, desc="predictions"):
        predicted = Detectable(*setting)
        assert predicted.rows_at_common_share is not None
        assert predicted.smallest_share is not None
        streams = Streams(setting[0], COMMON_SHARE, STREAMS, *setting[1:], harm=highest_scores, seed=500)
        best, overlapping = (
            float(np.median(replace(streams, harm=harm).rows_to_alarm())) for harm in (highest_scores, harmful)
        )
        share = _smallest(streams, predicted)
        rows.append(
            [
                f"{setting[0]:,}; {setting[1]:g}; {setting[2]:,}",
                f"{predicted.rows_at_common_share:,}",
                f"{best:,.0f}",
                f"{predicted.rows_at_common_share / best:.2f}",
                f"{overlapping / predicted.rows_at_common_share:.1f}",
                f"{predicted.smallest_share:.4f}",
                f"{share:.4f}",
                f"{predicted.smallest_share / share:.2f}",
            ]
        )
    return (
        f"Predicted and simulated: rows to the alarm at {COMMON_SHARE:.0%} (medians of {STREAMS} streams), and the "
        f"smallest share that half of {SHARE_STREAMS} streams detect within 20,000 rows. Harmful rows score above all "
        "clean ones, as the prediction assumes; one column is for the overlapping scores of the other tables:\n\n"
        + table(
            [
                "reference; tolerance; rows between false alarms",
                "predicted rows",
                "simulated",
                "ratio",
                "overlapping scores, times the prediction",
                "predicted smallest share",
                "simulated",
                "ratio",
            ],
            rows,
        )
    )


def highest_scores(_: np.random.Generator, rows: int) -> Float64:
    return np.full(rows, np.inf)


def _smallest(streams: Streams, predicted: Detectable) -> float:
    """The share that half of the streams detect, by interpolation."""
    assert predicted.smallest_share is not None
    shares = predicted.smallest_share * np.array(FACTORS)
    found = [
        float(np.isfinite(replace(streams, share=float(share), count=SHARE_STREAMS).rows_to_alarm()).mean())
        for share in shares
    ]
    return float(np.interp(0.5, np.maximum.accumulate(found), shares))
