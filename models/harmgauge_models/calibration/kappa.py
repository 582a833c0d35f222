"""The share of a drop of accuracy that the estimate misses: single disturbances, judged by a fit without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from harmgauge_models.calibration.logistic import Float64, Line, fit

LEAST_DROP = 0.01
"""If the disturbances cost less accuracy (root of the mean square), there is nothing to judge by."""


@dataclass(frozen=True)
class Set:
    """Rows that one `kind` of disturbance changed, all at one strength: the `logits` of q, and how likely each is to be
    `wrong`, (n,) each. `clean_wrong` is the mean of that of the same rows before.
    """

    kind: str
    logits: Float64
    wrong: Float64
    clean_wrong: float


@dataclass(frozen=True)
class Judged:
    """Sets seen by one second network, with the clean rows (`logits` of q and `wrong`, (n,) each) as it sees them.

    `unseen` are the kinds to judge by: neither the fit nor, if there is such a network, the network has seen them.
    """

    sets: Sequence[Set]
    logits: Float64
    wrong: Float64
    unseen: Collection[str]


def kappa(by: Sequence[Judged]) -> float | None:
    """sqrt(sum(bias^2 - sampling^2) / sum(drop^2)) over the unseen sets; None if disturbances cost no accuracy.

    bias = mean P - share wrong, sampling^2 = sum P (1 - P) / n^2, drop = share wrong - that of the same rows before.
    """
    missed, drops, judged = 0.0, 0.0, 0
    for fold in by:
        line = fit_balanced(
            fold.logits,
            fold.wrong,
            [(found.logits, found.wrong) for found in fold.sets if found.kind not in fold.unseen],
        )
        for found in fold.sets:
            if found.kind in fold.unseen:
                p = line(found.logits)
                wrong = float(found.wrong.mean())
                missed += (float(p.mean()) - wrong) ** 2 - float((p * (1 - p)).sum()) / len(p) ** 2
                drops += (wrong - found.clean_wrong) ** 2
                judged += 1
    if not judged or drops / judged < LEAST_DROP**2:
        return None
    return float(np.sqrt(max(missed, 0.0) / drops))


def fit_balanced(logits: Float64, wrong: Float64, disturbed: Sequence[tuple[Float64, Float64]]) -> Line:
    """The fit to clean rows that weigh as much as all `disturbed` (logits, wrong) ones together."""
    others = sum(len(part) for part, _ in disturbed)
    weights = np.concatenate([np.full(len(logits), 1 / len(logits)), np.full(others, 1 / max(others, 1))])
    return fit(
        np.concatenate([logits, *(part for part, _ in disturbed)]),
        np.concatenate([wrong, *(part for _, part in disturbed)]),
        weights,
    )
