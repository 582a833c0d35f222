"""Measures how well a detector detects attacked instances, and how much of the accuracy its correction restores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from harmgauge.bundle.rows import Array
from harmgauge_models.graphs.differentiable import Watched
from harmgauge_models.measures.roc import roc_auc


@dataclass(frozen=True)
class Robustness:
    """Shares of the attacked rows, except `roc_auc`: the probability that an attacked row scores above a clean one,
    with ties counted half.

    `accuracy` is the classifier's, `defense_accuracy` the second network's; `corrected_accuracy` uses the second
    network's answer for flagged rows, otherwise the classifier's.
    """

    rows: int
    roc_auc: float
    flagged: float
    accuracy: float
    defense_accuracy: float
    corrected_accuracy: float


def judge(watched: Watched, threshold: float, clean: Array, attacked: Array, y: npt.NDArray[np.int64]) -> Robustness:
    """Judge `attacked` rows (m, *shape) with labels `y` (m,) against `clean` ones (n, *shape); both raw, as integers or
    real numbers.
    """
    scores, before = (outputs(watched.score, rows) for rows in (attacked, clean))
    no_defense, defense = (outputs(network, attacked).argmax(1) for network in (watched.classifier, watched.second))
    flagged = scores > np.float32(threshold)
    return Robustness(
        rows=len(attacked),
        roc_auc=roc_auc(scores, before),
        flagged=float(flagged.mean()),
        accuracy=float((no_defense == y).mean()),
        defense_accuracy=float((defense == y).mean()),
        corrected_accuracy=float((np.where(flagged, defense, no_defense) == y).mean()),
    )


def outputs(network: nn.Module, x: Array, batch_rows: int = 125) -> Array:
    """The network's outputs for all rows of `x` (n, *shape), as one array."""
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(x[start : start + batch_rows])).numpy() for start in range(0, len(x), batch_rows)
        ]
    return np.concatenate(parts)
