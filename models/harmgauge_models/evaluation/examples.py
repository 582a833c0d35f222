"""Example images that a corruption harmed or did not harm, with the bundle's outputs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from harmgauge_models.data.corruptions import Images
from harmgauge_models.evaluation.cases import Cases
from harmgauge_models.evaluation.measure import CLEAN, Measured
from harmgauge_models.evaluation.severity import GROUPS, Pool

SHOWN = 8
"""Number of examples in each group."""


@dataclass(frozen=True)
class Example:
    """One image before and after corruption, as data URLs, with the `predictions` and `scores` before and after."""

    group: str
    kind: str
    severity: int
    label: int
    pictures: tuple[str, str]
    predictions: tuple[int, int]
    scores: tuple[float, float]


def choose(
    cases: Cases,
    measured: dict[tuple[str, int], Measured],
    pooled: Pool,
    *,
    severity: int,
    seed: int,
) -> list[Example]:
    """Choose up to SHOWN images of each group at one severity at random, taking the next kind that has any each time;
    only for images.
    """
    pictures = cases.pictures
    if pictures is None:
        return []
    random = np.random.default_rng(seed)
    clean = measured[CLEAN]
    found = []
    for group in GROUPS:
        mask = getattr(pooled.harm, group)
        kinds = [kind for kind, rows in zip(pooled.kinds, mask, strict=True) if rows.any() and kind in cases.corrupted]
        for kind in random.permutation(kinds)[:SHOWN].tolist():
            row = int(random.choice(np.flatnonzero(mask[pooled.kinds.index(kind)])))
            after = measured[kind, severity]
            found.append(
                Example(
                    group=group,
                    kind=kind,
                    severity=severity,
                    label=int(pictures.y[row]),
                    pictures=(_url(pictures.x[row]), _url(cases.corrupted[kind][severity - 1][row])),
                    predictions=(int(clean.predictions[row]), int(after.predictions[row])),
                    scores=(float(clean.scores["score"][row]), float(after.scores["score"][row])),
                )
            )
    return found


def _url(picture: Images) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(picture)).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
