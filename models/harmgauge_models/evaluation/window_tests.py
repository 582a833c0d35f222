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
from harmgauge_models.evaluation.window_statistics import STATISTICS, Float64, standardised
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
    found: dict[str, Any] = {}
    for name in tqdm(STATISTICS, desc="other detectors"):

        def kept(label: str, draw: Draw, windows: int, rows: list[Rows], *, name: str = name) -> Float64:
            decided_by = {"format": FORMAT, "rows": [sha256_of(part) for part in (reference, *rows)], "seed": seed}
            decided_by |= {"label": label, "windows": [windows, WINDOW_ROWS]}
            make = partial(_statistics, name, reference, draw, windows, seed)
            return work.kept(f"window_tests/{name}-{label}", decided_by, make)["statistics"]

        draw = mixture(normal, normal, 0, distinct=True)
        threshold = _threshold(kept("none", draw, plan.clean_windows, [normal]))
        found[name] = {}
        for group, strange in groups.items():
            if not len(strange):
                continue
            found[name][group] = {}
            for share in plan.delay_shares:
                draw = mixture(normal, strange, share, distinct=True)
                seen = kept(f"{group}-{share:g}", draw, plan.changed_windows, [normal, strange])
                power = float((seen > threshold).mean())
                found[name][group][f"{share:g}"] = {"mean_rows": mean_rows(power, plan.most_rows), "power": power}
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


def _statistics(name: str, reference: Float64, draw: Draw, windows: int, seed: int) -> Arrays:
    statistic, random = STATISTICS[name](reference), np.random.default_rng((seed, 31))
    return {"statistics": np.array([statistic(draw(random, WINDOW_ROWS)) for _ in range(windows)])}
