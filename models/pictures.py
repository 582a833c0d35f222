"""Pictures as a classifier takes them, to pixels in 0..1 and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.images import Layout
from service.inference.bundle import InputSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Pictures:
    """How pictures lie in an input: `low` is black, `high` white; raises nothing."""

    layout: Layout
    low: float
    high: float
    dtype: np.dtype[Any]

    def to_pixels(self, x: Array) -> npt.NDArray[np.float32]:
        """(n, *shape) in the input's dtype to (n, height, width, channels)."""
        planes = x.transpose(0, 2, 3, 1) if self.layout == "CHW" else x
        return ((planes.astype(np.float32) - self.low) / (self.high - self.low)).astype(np.float32)

    def from_pixels(self, pixels: npt.NDArray[np.float32]) -> Array:
        """Back again; whole numbers where the input holds such."""
        values = pixels * (self.high - self.low) + self.low
        planes = values.transpose(0, 3, 1, 2) if self.layout == "CHW" else values
        return np.ascontiguousarray(np.rint(planes) if self.dtype.kind in "iu" else planes, self.dtype)


def pictures(x: Array, spec: InputSpec, layout: Layout) -> Pictures:
    """The range is the input's own where it has one, else that of the normal instances `x`."""
    low = float(x.min()) if spec.minimum is None else spec.minimum
    high = float(x.max()) if spec.maximum is None else spec.maximum
    return Pictures(layout, low, max(high, low + 1e-6), x.dtype)
