"""Images for corruption."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def photographs(rows: int, height: int = 32, width: int = 32) -> npt.NDArray[np.uint8]:
    """Smooth colours with an edge, which every kind changes."""
    slope = np.linspace(40, 200, height)[:, None] + np.linspace(20, 180, width)
    image = slope[:, :, None] / 2 * np.array([1, 0.8, 0.6])
    image[::7, ::3] = 20
    return np.repeat(image.astype(np.uint8)[None], rows, 0)
