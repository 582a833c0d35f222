"""Detection delays of other drift detectors, at the same false alarm rate as the bundle's own.

Every window of WINDOW_ROWS rows is tested once. A threshold is the quantile of the statistic over clean windows that
one window in ROWS_BETWEEN_FALSE_ALARMS / WINDOW_ROWS exceeds. The change comes just after a test. Windows are
independent, so the delay is WINDOW_ROWS times a geometric number of windows, whose probability is the share of changed
windows above the threshold.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from harmgauge.bundle.load import Bundle
from harmgauge_models.evaluation.alarms import Draw, Rows
from harmgauge_models.evaluation.delays import Group, mixture
from harmgauge_models.evaluation.plan import Plan
from harmgauge_models.evaluation.window_statistics import STATISTICS, Float64, Statistic, Window, standardised
from harmgauge_models.evaluation.work import Arrays, Work, sha256_of

WINDOW_ROWS = 100
REFERENCE_ROWS = 500
ROWS_BETWEEN_FALSE_ALARMS = 10_000
"""More would need more clean windows than there are."""

FORMAT = 2
"""Incremented when the meaning of stored statistics changes."""


def window_tests(
    bundle: Bundle, clean: Group, changed: dict[str, Group], plan: Plan, work: Work, *, seed: int
) -> dict[str, Any]:
    """By detector, by group of `changed`, and by share: the mean rows until the alarm (at most `plan.most_rows`), and
    the share of windows that raise it.

    Windows have `share` of their rows from the group and the rest from `clean`; no row occurs twice in a window if
    there are enough. Needs features. Shows progress.
    """
    assert bundle.reference.features is not None
    assert clean.features is not None
    scale = standardised(bundle.reference.features)
    random = np.random.default_rng(seed)
    some = random.permutation(len(bundle.reference.features))[:REFERENCE_ROWS]
    reference = scale(bundle.reference.features[some])
    normal = scale(clean.features)
    groups = {name: scale(group.features) for name, group in changed.items() if group.features is not None}
    mixtures = [(name, share) for name, rows in groups.items() if len(rows) for share in plan.delay_shares]
    statistics = {name: prepare(reference) for name, prepare in STATISTICS.items()}

    def kept(label: str, draw: Draw, windows: int, rows: list[Rows]) -> Arrays:
        decided_by = {"format": FORMAT, "rows": [sha256_of(part) for part in (reference, *rows)], "seed": seed}
        decided_by |= {"statistics": list(STATISTICS), "windows": [windows, WINDOW_ROWS]}
        make = partial(_computed, statistics, reference, draw, windows, seed)
        return work.kept(f"window_tests/{label}", decided_by, make)

    found: dict[str, Any] = {name: {} for name in STATISTICS}
    with tqdm(desc="other detectors", total=1 + len(mixtures)) as progress:
        unchanged = kept("none", mixture(normal, normal, 0, distinct=True), plan.clean_windows, [normal])
        thresholds = {name: _threshold(unchanged[name]) for name in STATISTICS}
        progress.update()
        for group, share in mixtures:
            draw = mixture(normal, groups[group], share, distinct=True)
            seen = kept(f"{group}-{share:g}", draw, plan.changed_windows, [normal, groups[group]])
            progress.update()
            for name, threshold in thresholds.items():
                power = float((seen[name] > threshold).mean())
                delay = {"mean_rows": mean_rows(power, plan.most_rows), "power": power}
                found[name].setdefault(group, {})[f"{share:g}"] = delay
    return found


def mean_rows(power: float, most_rows: int) -> float:
    """The mean rows until the first of independent windows raises the alarm, each with probability `power`; `most_rows`
    if none does.
    """
    windows = most_rows // WINDOW_ROWS
    if power == 0:
        return float(most_rows)
    return WINDOW_ROWS * (1 - (1 - power) ** windows) / power


def _threshold(statistics: Float64) -> float:
    return float(np.quantile(statistics, 1 - WINDOW_ROWS / ROWS_BETWEEN_FALSE_ALARMS))


def _computed(statistics: dict[str, Statistic], reference: Float64, draw: Draw, windows: int, seed: int) -> Arrays:
    """Each of the statistics for the same windows, (windows,)."""
    random = np.random.default_rng((seed, 31))
    found: dict[str, list[float]] = {name: [] for name in statistics}
    for _ in range(windows):
        window = Window(reference, draw(random, WINDOW_ROWS))
        for name, statistic in statistics.items():
            found[name].append(statistic(window))
    return {name: np.array(values) for name, values in found.items()}
