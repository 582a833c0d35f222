"""p-values of batches of clean traffic with some harmful or harmless pictures among it, by severity and share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from models.evaluation.contamination import BATCH_ROWS, REFERENCE_ROWS, contamination_p_values
from models.evaluation.plan import SHARES
from models.evaluation.work import Arrays, Work, sha256_of

Scores = npt.NDArray[np.float64]


def contamination_table(
    reference: Scores, clean: Scores, strangers: dict[str, dict[int, Scores]], batches: int, work: Work, *, seed: int
) -> dict[str, Any]:
    """Mean and maximum p over `batches`, by group of `strangers`, by severity, by share of SHARES.

    A share for which a group has too few scores is left out. Shows progress.
    """
    reference_rows = min(REFERENCE_ROWS, len(reference))
    table: dict[str, Any] = {"batches": batches, "batch_rows": BATCH_ROWS, "reference_rows": reference_rows, "p": {}}
    steps = [(group, severity) for group, by_severity in strangers.items() for severity in by_severity]
    for index, (group, severity) in enumerate(tqdm(steps, desc="contamination")):
        scores = strangers[group][severity]
        decided_by = {
            "scores": [sha256_of(some) for some in (reference, clean, scores)],
            "shares": SHARES,
            "batches": [batches, BATCH_ROWS, reference_rows],
            "seed": [seed, index],
        }

        def p_values(scores: Scores = scores, index: int = index) -> Arrays:
            return {
                f"{share:g}": contamination_p_values(
                    reference,
                    clean,
                    scores,
                    share,
                    np.random.default_rng((seed, index, round(100 * share))),
                    batches=batches,
                    reference_rows=reference_rows,
                )
                for share in SHARES
                if len(scores) >= round(share * BATCH_ROWS)
            }

        by_share = work.kept(f"contamination/{group}-{severity}", decided_by, p_values)
        table["p"].setdefault(group, {})[str(severity)] = {
            share: {"mean": float(p.mean()), "max": float(p.max())} for share, p in by_share.items()
        }
    return table
