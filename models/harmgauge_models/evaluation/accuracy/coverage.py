"""How often the 90 % interval of the estimate contains the accuracy of its window."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from harmgauge.drift.accuracy import interval
from harmgauge_models.evaluation.accuracy.sets import RowSet

WINDOW_ROWS = (200, 1000)
WINDOWS = 20
"""Windows per set, drawn without replacement; only one if a window takes nearly all rows of the set."""

COVERED = ("clean", "single", "diluted", "two_kinds")


def coverage(sets: Iterable[RowSet], accuracy_base: float, kappa: float, *, seed: int) -> dict[str, Any]:
    """By window length, by group and for `all`: the share of windows whose own accuracy lies in the interval, its mean
    half-width, and the number of windows.

    `accuracy_base` and `kappa` are the bundle's. Windows longer than a set are omitted.
    """
    found: dict[int, dict[str, list[tuple[bool, float]]]] = {rows: {} for rows in WINDOW_ROWS}
    for number, one in enumerate(sets):
        for rows, by_group in found.items():
            random = np.random.default_rng((seed, number, rows))
            for _ in range(_windows(len(one.rows), rows)):
                window = one.rows.take(random.permutation(len(one.rows))[:rows])
                low, high = interval(window.error_probability, accuracy_base, kappa)
                by_group.setdefault(one.group, []).append((low <= window.accuracy <= high, (high - low) / 2))
    return {
        str(rows): {group: _summary(windows) for group, windows in {**by_group, "all": _every(by_group)}.items()}
        for rows, by_group in found.items()
        if by_group
    }


def _windows(there: int, wanted: int) -> int:
    if wanted > there:
        return 0
    return WINDOWS if wanted <= 0.8 * there else 1


def _every(by_group: dict[str, list[tuple[bool, float]]]) -> list[tuple[bool, float]]:
    return [window for windows in by_group.values() for window in windows]


def _summary(windows: list[tuple[bool, float]]) -> dict[str, Any]:
    inside, half_widths = zip(*windows, strict=True)
    return {
        "coverage": round(float(np.mean(inside)), 5),
        "half_width": round(float(np.mean(half_widths)), 5),
        "windows": len(windows),
    }
