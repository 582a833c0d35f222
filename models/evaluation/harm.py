"""Which corrupted inputs harm the classifier, by the definitions of the literature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Predictions = npt.NDArray[Any]
"""Classes, whole numbers (n,)."""


@dataclass(frozen=True)
class Harm:
    """Masks (n,) over corrupted inputs. Those that the classifier has wrong when clean already are in neither."""

    harmful: Mask
    harmless: Mask


def harm(clean: Predictions, corrupted: Predictions, labels: Predictions) -> Harm:
    """Harmful: right on the clean input, wrong on the corrupted one. Harmless: right on both.

    `corrupted` may be (..., n), several corruptions of the same inputs; the masks have its shape. Raises ValueError
    where the shapes do not fit.
    """
    if clean.shape != labels.shape or clean.ndim != 1 or corrupted.shape[-1:] != labels.shape:
        raise ValueError(f"clean {clean.shape}, labels {labels.shape} (n,) and corrupted {corrupted.shape} (..., n)")
    right_before, right_after = clean == labels, corrupted == labels
    return Harm(harmful=right_before & ~right_after, harmless=right_before & right_after)
