"""The share of a drop of accuracy that the estimate misses: single disturbances, judged by a fit without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harmgauge_models.calibration.logistic import Float64, Line, fit

LEAST_DROP = 0.01
"""If the disturbances cost less accuracy (root of the mean square), there is nothing to judge by."""


@dataclass(frozen=True)
class Set:
    """Rows that one `kind` of disturbance changed, all at one strength: the `logits` of q, and how likely each is to be
    `wrong`, (n,) each; and the same of these rows as they were before.
    """

    kind: str
    logits: Float64
    wrong: Float64
    clean_logits: Float64
    clean_wrong: Float64


@dataclass(frozen=True)
class Judged:
    """Sets seen by one second network, with the clean rows (`logits` of q and `wrong`, (n,) each) as it sees them.

    `unseen` are the kinds to judge by: neither the fit nor, if there is such a network, the network has seen them.
    """

    sets: Sequence[Set]
    logits: Float64
    wrong: Float64
    unseen: Collection[str]


class Missed(NamedTuple):
    """`kappa` is sqrt(sum(bias^2 - sampling^2) / sum(drop^2)) over the unseen sets, with bias = mean P - share wrong,
    sampling^2 = sum P (1 - P) / n^2, drop = share wrong - that of the same rows before.

    `seen` is the share of a drop by which the estimate falls (least squares). One number for all traffic misses half of
    each drop if it lies in the middle, and sees none.
    """

    kappa: float
    seen: float


def missed(by: Sequence[Judged]) -> Missed | None:
    """None if disturbances cost no accuracy, so that there is nothing to judge by."""
    bias2, drop2, fallen, judged = 0.0, 0.0, 0.0, 0
    for network in by:
        others = [(found.logits, found.wrong) for found in network.sets if found.kind not in network.unseen]
        line = fit_balanced(network.logits, network.wrong, others)
        for found in network.sets:
            if found.kind in network.unseen:
                p, wrong = line(found.logits), float(found.wrong.mean())
                drop = wrong - float(found.clean_wrong.mean())
                bias2 += (float(p.mean()) - wrong) ** 2 - float((p * (1 - p)).sum()) / len(p) ** 2
                fallen += drop * float(p.mean() - line(found.clean_logits).mean())
                drop2 += drop**2
                judged += 1
    if not judged or drop2 / judged < LEAST_DROP**2:
        return None
    return Missed(float(np.sqrt(max(bias2, 0.0) / drop2)), fallen / drop2)


def fit_balanced(logits: Float64, wrong: Float64, disturbed: Sequence[tuple[Float64, Float64]]) -> Line:
    """The fit to clean rows that weigh as much as all `disturbed` (logits, wrong) ones together."""
    others = sum(len(part) for part, _ in disturbed)
    weights = np.concatenate([np.full(len(logits), 1 / len(logits)), np.full(others, 1 / max(others, 1))])
    return fit(
        np.concatenate([logits, *(part for part, _ in disturbed)]),
        np.concatenate([wrong, *(part for _, part in disturbed)]),
        weights,
    )
