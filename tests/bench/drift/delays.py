"""How soon each detector raises its alarm, by the share of traffic that turns harmful, at the same rate of false
alarms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from tqdm import tqdm

from harmgauge_models.evaluation.alarms import Draw, rows_to_ks_alarm, rows_to_mmd_alarm
from tests.bench.drift.plan import DATE, OUT, STREAMS, table
from tests.bench.drift.streams import Streams
from tests.support.scores import clean, contaminated

SHARES = (0.02, 0.05, 0.1, 0.2, 0.5)
REFERENCES = (1000, 5000, 20_000)
MOST_ROWS = 50_000
BETWEEN = 100_000
KS_WINDOWS = (500, 2000)
KS_REFERENCE_ROWS = 5000
KS_STREAMS = max(1, STREAMS // 4)
MMD_STREAMS = max(1, STREAMS // 20)
MMD_WINDOW_ROWS = 500
MMD_REFERENCE_ROWS = 1000
FEATURES = 64
FEATURE_SHIFT = 0.5
"""By which all features of harmful rows are moved, in standard deviations."""


def section() -> str:
    found = {f"`score_evidence`, reference {rows:,}": _evidence(rows) for rows in REFERENCES}
    for window_rows in KS_WINDOWS:
        found[f"`score_ks`, window {window_rows:,}, reference {KS_REFERENCE_ROWS:,}"] = _ks(window_rows)
    found[f"`feature_mmd`, window {MMD_WINDOW_ROWS:,}, reference {MMD_REFERENCE_ROWS:,}"] = _mmd()
    name = f"{DATE}-drift.png"
    _draw(found).savefig(OUT / name, dpi=90, metadata={"Software": None})
    rows = [[name, *(f"{mean:,.0f}" for mean in means)] for name, means in found.items()]
    return (
        "Rows until the alarm, by the share of traffic that turned harmful: means of "
        f"{STREAMS} streams (`score_ks`: {KS_STREAMS}, `feature_mmd`: {MMD_STREAMS}), each against its own reference, "
        f"at {BETWEEN:,} rows between false alarms and no tolerance; cut off at {MOST_ROWS:,}. For `feature_mmd`, "
        f"harmful rows differ by {FEATURE_SHIFT} standard deviations in each of {FEATURES} normal features.\n\n"
        + table(["detector", *(f"{share:.0%}" for share in SHARES)], rows)
        + f"\n\n![delays]({name})"
    )


def _evidence(reference_rows: int) -> list[float]:
    found = []
    for share in tqdm(SHARES, desc=f"score_evidence, {reference_rows}"):
        streams = Streams(reference_rows, share, STREAMS, between=BETWEEN, most_rows=MOST_ROWS, seed=50_000)
        found.append(float(np.minimum(streams.rows_to_alarm(), MOST_ROWS).mean()))
    return found


def _ks(window_rows: int) -> list[float]:
    def rows(share: float, seed: int) -> float:
        return rows_to_ks_alarm(
            np.sort(clean(np.random.default_rng(50_000 + seed), KS_REFERENCE_ROWS)),
            clean,
            contaminated(share),
            window_rows=window_rows,
            rows_between_false_alarms=BETWEEN,
            most_rows=MOST_ROWS,
            seed=seed,
        )

    return _means(f"score_ks, {window_rows}", KS_STREAMS, rows)


def _mmd() -> list[float]:
    def rows(share: float, seed: int) -> float:
        return rows_to_mmd_alarm(
            _features(0)(np.random.default_rng(50_000 + seed), MMD_REFERENCE_ROWS),
            _features(share),
            window_rows=MMD_WINDOW_ROWS,
            rows_between_false_alarms=BETWEEN,
            most_rows=MOST_ROWS,
            seed=seed,
        )

    return _means("feature_mmd", MMD_STREAMS, rows)


def _means(what: str, streams: int, rows: Callable[[float, int], float]) -> list[float]:
    """For each share, the mean of `rows` to the alarm, which is called with the share and the number of a stream."""
    return [float(np.mean([rows(share, seed) for seed in range(streams)])) for share in tqdm(SHARES, desc=what)]


def _features(share: float) -> Draw:
    def draw(random: np.random.Generator, rows: int) -> npt.NDArray[Any]:
        harmed = random.random(rows) < share
        features = random.normal(size=(rows, FEATURES)) + FEATURE_SHIFT * harmed[:, None]
        return features.astype(np.float32)

    return draw


def _draw(delays: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, means in delays.items():
        style = "-" if "score_evidence" in name else "--"
        axes.plot([100 * share for share in SHARES], means, style, marker="o", label=name.replace("`", ""))
    axes.set(xscale="log", yscale="log", xlabel="harmful traffic, %", ylabel="rows until the alarm (mean)")
    axes.legend(fontsize=7)
    return figure
