"""The share of a drop in accuracy that the estimate misses: single disturbances, judged by a fit without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harmgauge_models.calibration.logistic import Float64, Line, fit

LEAST_DROP = 0.01
"""Minimum loss of accuracy through the disturbances (root mean square) for a judgement."""


@dataclass(frozen=True)
class Set:
    """Rows changed by one `kind` of disturbance at one strength: the `logits` of q and the probability that each answer
    is `wrong`, (n,) each; and the same for these rows before the change.
    """

    kind: str
    logits: Float64
    wrong: Float64
    clean_logits: Float64
    clean_wrong: Float64


@dataclass(frozen=True)
class Judged:
    """Sets of rows as one second network sees them, with its view of the clean rows (`logits` of q and `wrong`, (n,)
    each).

    `unseen` are the kinds to judge by: the fit has not seen them and, if possible, neither has the network.
    """

    sets: Sequence[Set]
    logits: Float64
    wrong: Float64
    unseen: Collection[str]


class Missed(NamedTuple):
    """`kappa` is sqrt(sum(bias^2 - sampling^2) / sum(drop^2)) over the unseen sets, with bias = mean P - share wrong,
    sampling^2 = sum P (1 - P) / n^2, drop = share wrong - that of the same rows before.

    `seen` is the share of a drop by which the estimate falls (least squares). A constant estimate in the middle misses
    half of each drop, and its `seen` is 0.
    """

    kappa: float
    seen: float


def missed(by: Sequence[Judged]) -> Missed | None:
    """None if disturbances do not reduce accuracy, so that there is nothing to judge."""
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


def fit_balanced(
    logits: Float64, wrong: Float64, disturbed: Sequence[tuple[Float64, Float64]], clean_weight: float = 1.0
) -> Line:
    """Fit with clean rows weighted `clean_weight` times as much as all `disturbed` (logits, wrong) rows together."""
    others = sum(len(part) for part, _ in disturbed)
    weights = np.concatenate([np.full(len(logits), clean_weight / len(logits)), np.full(others, 1 / max(others, 1))])
    return fit(
        np.concatenate([logits, *(part for part, _ in disturbed)]),
        np.concatenate([wrong, *(part for _, part in disturbed)]),
        weights,
    )
