"""Real-valued images on a different scale from the classifier's training data: 0..255 for 0..1, standardised twice, or
not at all.
"""

from __future__ import annotations

import numpy as np

from harmgauge.bundle.rows import Array

SCALES = (
    (255.0, 0.0),
    (1 / 255, 0.0),
    (2.0, -1.0),
    (0.5, 0.5),
    (1 / 0.225, -0.45 / 0.225),
    (0.225, 0.45),
    (57.0, 115.0),
    (1 / 57, -115 / 57),
)
"""Factors and offsets between the usual scales: bytes, 0..1, -1..1, and mean 0 with spread 1 (ImageNet's)."""


def wrongly_scaled(x: Array, random: np.random.Generator) -> Array:
    """Rescale each row of `x` (n, *shape), real-valued, by one of SCALES, varied by up to a tenth; the dtype is
    unchanged.
    """
    factors, offsets = np.array(SCALES)[random.integers(len(SCALES), size=len(x))].T
    axes = (-1, *(1,) * (x.ndim - 1))
    vary = random.uniform(0.9, 1.1, len(x)).reshape(axes)
    wide = x.astype(np.float64) * factors.reshape(axes) * vary + offsets.reshape(axes)
    limit = float(np.finfo(x.dtype).max) / 16
    made: Array = np.clip(wide, -limit, limit).astype(x.dtype)
    return made
