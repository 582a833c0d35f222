"""p-values of batches of clean traffic with some harmful or harmless pictures among it, by severity and share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from models.evaluation.contamination import BATCH_ROWS, REFERENCE_ROWS, contamination_p_values
from models.evaluation.plan import SHARES

Scores = npt.NDArray[np.float64]


def contamination_table(
    reference: Scores, clean: Scores, strangers: dict[str, dict[int, Scores]], batches: int, seed: int
) -> dict[str, Any]:
    """Mean and maximum p over `batches`, by group of `strangers`, by severity, by share of SHARES.

    A share for which a group has too few scores is left out. Shows progress.
    """
    reference_rows = min(REFERENCE_ROWS, len(reference))
    table: dict[str, Any] = {"batches": batches, "batch_rows": BATCH_ROWS, "reference_rows": reference_rows, "p": {}}
    steps = [(group, severity) for group, by_severity in strangers.items() for severity in by_severity]
    for index, (group, severity) in enumerate(tqdm(steps, desc="contamination")):
        scores = strangers[group][severity]
        shares = {}
        for share in SHARES:
            if len(scores) < round(share * BATCH_ROWS):
                continue
            p_values = contamination_p_values(
                reference,
                clean,
                scores,
                share,
                np.random.default_rng((seed, index, round(100 * share))),
                batches=batches,
                reference_rows=reference_rows,
            )
            shares[f"{share:g}"] = {"mean": float(p_values.mean()), "max": float(p_values.max())}
        table["p"].setdefault(group, {})[str(severity)] = shares
    return table
