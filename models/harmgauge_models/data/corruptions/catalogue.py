"""The 19 kinds by name, and functions that apply one or all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from harmgauge_models.data.corruptions import blur, digital, noise, weather
from harmgauge_models.data.corruptions.pixels import Images
from harmgauge_models.data.corruptions.spatter import spatter

Corruption = Callable[[Images, int, np.random.Generator], Images]
"""Maps images (n, height, width, 3) uint8 of any size, a severity of 1 to 5 and a random generator to corrupted copies.

The same generator state gives the same pixels. Raises ValueError for any other severity.
"""

CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "speckle_noise": noise.speckle_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "gaussian_blur": blur.gaussian_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "spatter": spatter,
    "saturate": digital.saturate,
}


def corrupt(name: str, images: Images, severity: int, seed: int = 0) -> Images:
    """Corrupt `images` (n, height, width, 3) uint8 with one kind, seeded by `seed`, kind and severity.

    Raises ValueError for an unknown kind, other images, and a severity that is not a whole number from 1 to 5.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {name!r}: expected one of {', '.join(CORRUPTIONS)}")
    if images.dtype != np.uint8 or images.shape[3:] != (3,):
        raise ValueError(
            f"expected images of uint8 with shape (n, height, width, 3), got {images.dtype} {images.shape}"
        )
    random = np.random.default_rng((seed, list(CORRUPTIONS).index(name), severity))
    return CORRUPTIONS[name](images, severity, random)


def corrupt_in_turn(
    images: Images, severity: int, seed: int, kinds: Collection[str] = tuple(CORRUPTIONS)
) -> tuple[Images, list[str]]:
    """Corrupt each image with the next of `kinds` in turn; returns the images and the name of each one's kind."""
    random = np.random.default_rng(seed)
    chosen = [list(kinds)[index % len(kinds)] for index in range(len(images))]
    corrupted = images.copy()
    for name in kinds:
        rows = [index for index, kind in enumerate(chosen) if kind == name]
        if rows:
            corrupted[rows] = CORRUPTIONS[name](images[rows], severity, random)
    return corrupted, chosen
