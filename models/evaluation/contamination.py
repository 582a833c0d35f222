"""What the drift test makes of clean traffic with some of another kind in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

Scores = npt.NDArray[Any]

BATCHES = 100
BATCH_ROWS = 100
REFERENCE_ROWS = 1000


def contamination_p_values(
    reference: Scores,
    clean: Scores,
    contaminant: Scores,
    share: float,
    random: np.random.Generator,
    *,
    batches: int = BATCHES,
    batch_rows: int = BATCH_ROWS,
    reference_rows: int = REFERENCE_ROWS,
) -> npt.NDArray[np.float64]:
    """p-values (batches,) of the two-sample Kolmogorov-Smirnov test, a batch against a sample of `reference`.

    Of each batch `share` is drawn from `contaminant`, the rest from `clean`; each draw is without replacement. Raises
    ValueError where the share is not within 0..1 or a group holds too few scores.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share}: it lies within 0..1")
    strangers = round(share * batch_rows)
    needed = {"reference": reference_rows, "clean": batch_rows - strangers, "contaminant": strangers}
    groups = {"reference": reference, "clean": clean, "contaminant": contaminant}
    for name, rows in needed.items():
        if len(groups[name]) < rows:
            raise ValueError(f"{len(groups[name])} {name} scores; {rows} are drawn")
    p_values = np.empty(batches)
    for batch in range(batches):
        drawn = {name: random.choice(groups[name], rows, replace=False) for name, rows in needed.items()}
        mixed = np.concatenate([drawn["clean"], drawn["contaminant"]])
        p_values[batch] = ks_2samp(mixed, drawn["reference"]).pvalue
    return p_values
