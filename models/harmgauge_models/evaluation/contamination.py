"""p-values of batches of clean traffic mixed with harmful or harmless rows, by severity and share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from harmgauge.drift import ks
from harmgauge_models.evaluation.plan import BATCHES, SHARES
from harmgauge_models.evaluation.work import Arrays, Work, sha256_of

Scores = npt.NDArray[Any]

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
    """p-values (batches,) of the two-sample Kolmogorov-Smirnov test of each batch against a sample of `reference`.

    In each batch, `share` is drawn from `contaminant`, the rest from `clean`; each draw is without replacement. Raises
    ValueError if the share is not within 0..1 or a group has too few scores.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"expected a share within 0..1, got {share}")
    strangers = round(share * batch_rows)
    needed = {"reference": reference_rows, "clean": batch_rows - strangers, "contaminant": strangers}
    groups = {"reference": reference, "clean": clean, "contaminant": contaminant}
    for name, rows in needed.items():
        if len(groups[name]) < rows:
            raise ValueError(f"expected at least {rows} {name} scores, got {len(groups[name])}")
    p_values = np.empty(batches)
    for batch in range(batches):
        drawn = {name: random.choice(groups[name], rows, replace=False) for name, rows in needed.items()}
        mixed = np.concatenate([drawn["clean"], drawn["contaminant"]])
        p_values[batch] = ks.two_sample(mixed, drawn["reference"]).p_value
    return p_values


def contamination_table(
    reference: Scores, clean: Scores, strangers: dict[str, dict[str, Scores]], batches: int, work: Work, *, seed: int
) -> dict[str, Any]:
    """Mean and maximum p over `batches`, by group of `strangers`, by severity, and by share in SHARES.

    A share for which a group has too few scores is omitted. Shows progress.
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
        table["p"].setdefault(group, {})[severity] = {
            share: {"mean": float(p.mean()), "max": float(p.max())} for share, p in by_share.items()
        }
    return table
