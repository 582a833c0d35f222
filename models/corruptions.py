"""Corruptions of images, after the benchmark CIFAR-10-C (Hendrycks and Dietterich 2019), with its parameters.

Each takes images (n, height, width, channels) uint8, a severity of 1 to 5 and a random generator, and gives uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Images = npt.NDArray[np.uint8]
Corruption = Callable[[Images, int, np.random.Generator], Images]


def gaussian_noise(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Sensor noise in poor light."""
    spread = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return _to_uint8(images / 255 + random.normal(0, spread, images.shape))


def gaussian_blur(images: Images, severity: int, random: np.random.Generator) -> Images:
    """A lens out of focus."""
    radius_pixels = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    return _to_uint8(gaussian_filter(images / 255, (0, radius_pixels, radius_pixels, 0)))


def contrast(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Haze, or a wrong exposure: every pixel moves towards its channel's mean."""
    kept = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    means = images.mean((1, 2), keepdims=True) / 255
    return _to_uint8((images / 255 - means) * kept + means)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "gaussian_blur": gaussian_blur,
    "contrast": contrast,
}


def corrupt_in_turn(images: Images, severity: int, seed: int) -> tuple[Images, list[str]]:
    """Each image corrupted by the next kind in turn; with the kinds' names, image by image."""
    random = np.random.default_rng(seed)
    kinds = [list(CORRUPTIONS)[index % len(CORRUPTIONS)] for index in range(len(images))]
    corrupted = images.copy()
    for name, corrupt in CORRUPTIONS.items():
        rows = [index for index, kind in enumerate(kinds) if kind == name]
        corrupted[rows] = corrupt(images[rows], severity, random)
    return corrupted, kinds


def _to_uint8(images: npt.NDArray[Any]) -> Images:
    clipped: Images = np.clip(images * 255, 0, 255).astype(np.uint8)
    return clipped
