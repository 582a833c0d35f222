"""Random pictures with texture at many scales, so that they have brightness, contrast, sharpness, noise and colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Pixels = npt.NDArray[np.uint8]


def textures(rows: int, side: int = 16, channels: int = 3, seed: int = 0) -> Pixels:
    """Pictures (rows, side, side, channels), each with its own brightness, contrast, colours and scale of texture."""
    random = np.random.default_rng(seed)
    shape = (rows, side, side)
    coarse = gaussian_filter(random.normal(size=shape), (0, 2, 2), mode="wrap") * 6
    fine = gaussian_filter(random.normal(size=shape), (0, 0.7, 0.7), mode="wrap") * 1.5
    weight = random.uniform(0.5, 1.5, (2, rows, 1, 1))
    light, strength = random.normal(120, 20, (rows, 1, 1)), random.uniform(15, 40, (rows, 1, 1))
    grey = light + strength * (weight[0] * coarse + weight[1] * fine)
    tint = random.uniform(0.7, 1.0, (rows, 1, 1, channels))
    return as_pixels(grey[..., None] * tint)


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    """Pictures out of focus."""
    return as_pixels(gaussian_filter(pixels.astype(float), (0, sigma, sigma, 0)))


def as_pixels(values: npt.NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
