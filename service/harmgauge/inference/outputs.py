"""Inputs and outputs of inference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_rows import AnyRows

RowShapes = dict[str, tuple[int, ...]]
"""Shape of each output for one row, by name."""


@dataclass(slots=True)  # one for each request: creating a frozen one takes three times as long
class Outputs:
    """For n rows: `score` (n,) float32 and `probabilities` (n, classes) float32.

    If the graph provides them: `features` (n, d) float32; `corrected_probabilities` (n, classes) float32, the
    classifier's answer for the autoencoder's reconstruction; `error_probability` (n,) float32, P(the prediction is
    wrong).

    `complete` adds `predictions` (n,) int64, the index of the most likely class. If `all_finite` is true, all
    scores are finite.
    """

    score: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None
    corrected_probabilities: npt.NDArray[np.float32] | None = None
    error_probability: npt.NDArray[np.float32] | None = None
    predictions: npt.NDArray[np.int64] | None = None
    all_finite: bool = False

    def part(self, begin: int, end: int) -> Outputs:
        """Rows `begin` to `end`, without copying them."""
        rows = slice(begin, end)
        return Outputs(
            self.score[rows],
            self.probabilities[rows],
            None if self.features is None else self.features[rows],
            None if self.corrected_probabilities is None else self.corrected_probabilities[rows],
            None if self.error_probability is None else self.error_probability[rows],
            None if self.predictions is None else self.predictions[rows],
            self.all_finite,
        )


_ARRAYS = ("score", "probabilities", "features", "corrected_probabilities", "error_probability", "predictions")


class Runtime(Protocol):
    """Runs batches for the batcher; `run` is called from several threads at once."""

    shapes: RowShapes
    is_steady: bool
    """Whether the time of a run depends only on its number of rows."""

    def run(self, rows: AnyRows) -> Outputs: ...


def empty_outputs(rows: int, shapes: RowShapes) -> Outputs:
    """Uninitialised arrays for the outputs of this many rows."""
    made: dict[str, Any] = {name: np.empty((rows, *shape), np.float32) for name, shape in shapes.items()}
    return Outputs(**made)


def check_shapes(outputs: Outputs, rows: int, shapes: RowShapes) -> None:
    """Raises RuntimeError if the graph's outputs do not have the shapes expected for this many rows."""
    for name, shape in shapes.items():
        array: npt.NDArray[np.float32] | None = getattr(outputs, name)
        if array is None or array.shape != (rows, *shape):
            given = "none" if array is None else array.shape
            raise RuntimeError(f"{rows} rows gave {name} {given}; expected {(rows, *shape)}")


def complete(outputs: Outputs) -> None:
    """Add the predictions, and set the score to NaN for rows with non-finite probabilities, which have no prediction,
    and for rows with an error probability outside 0..1.

    Called once a batch, on the worker's thread: for a single row each of these steps takes as long as for many.
    """
    chances = outputs.error_probability
    if chances is not None and not _are_chances(chances):
        outputs.score[~((chances >= 0) & (chances <= 1))] = np.nan
    for array in (outputs.probabilities, outputs.corrected_probabilities):
        if array is not None and not _are_finite(array):
            outputs.score[~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))] = np.nan
    outputs.predictions = outputs.probabilities.argmax(1)
    outputs.all_finite = _are_finite(outputs.score)


def _are_chances(array: npt.NDArray[np.float32]) -> bool:
    """Whether all are in 0 .. 1; n >= 1."""
    values = array.tolist()
    return min(values) >= 0 and max(values) <= 1 and math.isfinite(sum(values))  # with a NaN the two prove nothing


def _are_finite(array: npt.NDArray[np.float32]) -> bool:
    """Whether no number is infinite or NaN; false also if the sum of their squares is too large for float32.

    For one row this takes a third of the time of `np.isfinite(array).all()`.
    """
    return math.isfinite(np.vdot(array, array))


def empty_like(outputs: Outputs, rows: int) -> Outputs:
    """Uninitialised arrays for this many rows of the same outputs."""
    made: dict[str, Any] = {}
    for name in _ARRAYS:
        array = getattr(outputs, name)
        if array is not None:
            made[name] = np.empty((rows, *array.shape[1:]), array.dtype)
    return Outputs(**made, all_finite=True)


def copy_rows(source: Outputs, begin: int, end: int, target: Outputs, start: int) -> None:
    """Copy rows `begin` to `end` of the source into the target, from `start` on."""
    stop = start + end - begin
    for name in _ARRAYS:
        array = getattr(target, name)
        if array is not None:
            array[start:stop] = getattr(source, name)[begin:end]
    target.all_finite = target.all_finite and source.all_finite


def place_rows(source: Outputs, target: Outputs, places: npt.NDArray[np.intp]) -> None:
    """Copy the rows of the source to these places (k,) of the target."""
    for name in _ARRAYS:
        array = getattr(target, name)
        if array is not None:
            array[places] = getattr(source, name)
