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
    """`score` (n,) float32 and `probabilities` (n, classes) float32 of n rows."""

    score: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]


class Runtime(Protocol):
    """What the batcher runs; `run` is called from several threads at once."""

    classes: int

    def run(self, rows: Rows) -> Outputs: ...
