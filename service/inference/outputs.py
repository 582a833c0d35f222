"""What inference takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]
"""Instances `(n, *shape)` in the bundle's dtype."""


@dataclass(frozen=True)
class Outputs:
    """`score` (n,) float32 and `probabilities` (n, classes) float32 of n rows.

    `corrected_probabilities`, alike, where the graph offers a correction: what the classifier says of what the
    autoencoder made of the row.
    """

    score: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    corrected_probabilities: npt.NDArray[np.float32] | None = None

    @staticmethod
    def empty(rows: int, classes: int, *, corrects: bool) -> Outputs:
        """Room for the outputs of `rows` rows."""
        shape = (rows, classes)
        corrected = np.empty(shape, np.float32) if corrects else None
        return Outputs(np.empty(rows, np.float32), np.empty(shape, np.float32), corrected)

    def put(self, start: int, stop: int, others: Outputs, begin: int) -> None:
        """Copy from `others`, their rows from `begin` on, into the rows `start` to `stop`."""
        end = begin + stop - start
        self.score[start:stop] = others.score[begin:end]
        self.probabilities[start:stop] = others.probabilities[begin:end]
        if self.corrected_probabilities is not None and others.corrected_probabilities is not None:
            self.corrected_probabilities[start:stop] = others.corrected_probabilities[begin:end]

    def shapes(self) -> str:
        """For messages, and to compare."""
        text = f"scores {self.score.shape} and probabilities {self.probabilities.shape}"
        corrected = self.corrected_probabilities
        return text if corrected is None else f"{text}, corrected {corrected.shape}"


class Runtime(Protocol):
    """What the batcher runs; `run` is called from several threads at once.

    `corrects`: its outputs have `corrected_probabilities`.
    """

    classes: int
    corrects: bool

    def run(self, rows: Rows) -> Outputs: ...
