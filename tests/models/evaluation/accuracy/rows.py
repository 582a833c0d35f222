"""Rows whose error probability is right, or wrong by a known shift."""

from __future__ import annotations

import numpy as np

from harmgauge_models.evaluation.accuracy.judged import Judged

CLASSES = 4


def judged(rows: int, mean: float = 0.2, *, shift: float = 0.0, seed: int = 0, probabilities: bool = False) -> Judged:
    """`rows` rows that are wrong with probabilities of this `mean`; their error probability is that plus `shift`."""
    random = np.random.default_rng(seed)
    true = random.beta(4 * mean, 4 * (1 - mean), rows)
    right = random.random(rows) >= true
    spread = random.dirichlet(np.full(CLASSES, 0.3), rows).astype(np.float32)
    return Judged(
        right=right,
        scores=true + random.normal(0, 0.01, rows),
        labels=random.integers(CLASSES, size=rows),
        folds=np.arange(rows) % 2,
        by_method={"error_probability": 1 - np.clip(true + shift, 0, 1)},
        probabilities=spread if probabilities else None,
    )
