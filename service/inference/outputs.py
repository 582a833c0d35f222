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
    """Of n rows: `score` (n,) float32, `probabilities` (n, classes) float32, and `features` (n, d) float32 where the
    runtime gives them.
    """

    score: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None


class Runtime(Protocol):
    """What the batcher runs; `run` is called from several threads at once."""

    classes: int
    features_width: int | None
    """d of the features, or None where there are none."""

    def run(self, rows: Rows) -> Outputs: ...


def empty_outputs(rows: int, runtime: Runtime) -> Outputs:
    """Room for the outputs of so many rows."""
    width = runtime.features_width
    return Outputs(
        np.empty(rows, np.float32),
        np.empty((rows, runtime.classes), np.float32),
        None if width is None else np.empty((rows, width), np.float32),
    )


def check_shapes(outputs: Outputs, rows: int, runtime: Runtime) -> None:
    """Raises RuntimeError where the graph gave something else than it should for so many rows."""
    due: dict[str, tuple[int, ...]] = {"score": (rows,), "probabilities": (rows, runtime.classes)}
    if runtime.features_width is not None:
        due["features"] = (rows, runtime.features_width)
    for name, shape in due.items():
        array: npt.NDArray[np.float32] | None = getattr(outputs, name)
        if array is None or array.shape != shape:
            raise RuntimeError(f"{rows} rows gave {name} {'none' if array is None else array.shape}; {shape} is due")


def copy_rows(source: Outputs, begin: int, end: int, target: Outputs, start: int) -> None:
    """Copy rows `begin` to `end` of the one to the other, from `start` on."""
    stop = start + end - begin
    target.score[start:stop] = source.score[begin:end]
    target.probabilities[start:stop] = source.probabilities[begin:end]
    if target.features is not None and source.features is not None:
        target.features[start:stop] = source.features[begin:end]
