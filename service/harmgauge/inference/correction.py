"""The classifier's answers had the input not been tampered with (Vacanti and Van Looveren 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.inference.scorer import Scored

Classes = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Correction:
    """For n instances, each as class (n,) int64 and as probabilities (n, classes) float32.

    `no_defense` is the classifier's answer to the instance, `defense` its answer to the autoencoder's reconstruction,
    `corrected` the defense if the instance was flagged, else no defense.
    """

    corrected: Classes
    no_defense: Classes
    defense: Classes
    corrected_probabilities: Probabilities
    defense_probabilities: Probabilities


def correct(scored: Scored) -> Correction:
    """The correction of instances that a bundle with correction scored."""
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
