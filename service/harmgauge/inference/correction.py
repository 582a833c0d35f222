"""Estimates the classifier's answers to inputs as they were before tampering (Vacanti and Van Looveren 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.inference.scorer import Scored

Classes = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Correction:
    """For n instances, each answer as class (n,) int64 and as probabilities (n, classes) float32.

    `no_defense` is the classifier's answer for the instance, `defense` its answer for the autoencoder's reconstruction,
    `corrected` is `defense` if the instance was flagged, otherwise `no_defense`.
    """

    corrected: Classes
    no_defense: Classes
    defense: Classes
    corrected_probabilities: Probabilities
    defense_probabilities: Probabilities


def correct(scored: Scored) -> Correction:
    """The correction of instances scored by a bundle that offers correction."""
    assert scored.corrected_probabilities is not None
    defense = scored.corrected_probabilities.argmax(1)
    flagged = scored.is_adversarial
    return Correction(
        corrected=np.where(flagged, defense, scored.predictions),
        no_defense=scored.predictions,
        defense=defense,
        corrected_probabilities=np.where(flagged[:, None], scored.corrected_probabilities, scored.probabilities),
        defense_probabilities=scored.corrected_probabilities,
    )
