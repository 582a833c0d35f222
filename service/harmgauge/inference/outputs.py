"""Inputs and outputs of inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_rows import AnyRows

RowShapes = dict[str, tuple[int, ...]]
"""Shape of each output for one row, by name."""


@dataclass(frozen=True)
class Outputs:
    """For n rows: `score` (n,) float32 and `probabilities` (n, classes) float32.

    If the graph provides them: `features` (n, d) float32; `corrected_probabilities` (n, classes) float32, the
    classifier's answer for the autoencoder's reconstruction; `error_probability` (n,) float32, P(the prediction is
    wrong).
    """

    score: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None
    corrected_probabilities: npt.NDArray[np.float32] | None = None
    error_probability: npt.NDArray[np.float32] | None = None


class Runtime(Protocol):
    """Runs batches for the batcher; `run` is called from several threads at once."""

    shapes: RowShapes

    def run(self, rows: AnyRows) -> Outputs: ...


def empty_outputs(rows: int, shapes: RowShapes) -> Outputs:
    """Uninitialised arrays for the outputs of this many rows."""
    return Outputs(**{name: np.empty((rows, *shape), np.float32) for name, shape in shapes.items()})


def check_shapes(outputs: Outputs, rows: int, shapes: RowShapes) -> None:
    """Raises RuntimeError if the graph's outputs do not have the shapes expected for this many rows."""
    for name, shape in shapes.items():
        array: npt.NDArray[np.float32] | None = getattr(outputs, name)
        if array is None or array.shape != (rows, *shape):
            given = "none" if array is None else array.shape
            raise RuntimeError(f"{rows} rows gave {name} {given}; expected {(rows, *shape)}")


def spoil_scores(outputs: Outputs) -> None:
    """Set the score to NaN for rows with non-finite probabilities, which have no prediction, and for rows with an error
    probability outside 0..1.
    """
    chances = outputs.error_probability
    if chances is not None and not ((chances >= 0) & (chances <= 1)).all():
        outputs.score[~((chances >= 0) & (chances <= 1))] = np.nan
    for array in (outputs.probabilities, outputs.corrected_probabilities):
        if array is not None:
            finite = np.isfinite(array)
            if not finite.all():
                outputs.score[~finite.all(axis=tuple(range(1, array.ndim)))] = np.nan


def copy_rows(source: Outputs, begin: int, end: int, target: Outputs, start: int) -> None:
    """Copy rows `begin` to `end` of the source into the target, from `start` on."""
    stop = start + end - begin
    for name, array in vars(target).items():
        if array is not None:
            array[start:stop] = getattr(source, name)[begin:end]


def place_rows(source: Outputs, target: Outputs, places: npt.NDArray[np.intp]) -> None:
    """Copy the rows of the source to these places (k,) of the target."""
    for name, array in vars(target).items():
        if array is not None:
            array[places] = getattr(source, name)
