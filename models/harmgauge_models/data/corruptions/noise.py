"""Noise that is independent for every pixel."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.corruptions.pixels import Images, at, to_uint8, unit


def gaussian_noise(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Sensor noise in poor light."""
    spread = at(severity, 0.04, 0.06, 0.08, 0.09, 0.10)
    return to_uint8(unit(images) + random.normal(0, spread, images.shape))


def shot_noise(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Shot noise: a Poisson-distributed number of photons, with this mean for a white pixel."""
    photons = at(severity, 500, 250, 100, 75, 50)
    return to_uint8(random.poisson(unit(images) * photons) / photons)


def impulse_noise(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Bit errors: this share of the values becomes 0 or 255."""
    share = at(severity, 0.01, 0.02, 0.03, 0.05, 0.07)
    extremes = np.where(random.random(images.shape) < 0.5, 0, 255).astype(np.uint8)
    return np.where(random.random(images.shape) < share, extremes, images)


def speckle_noise(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Noise in proportion to the brightness."""
    spread = at(severity, 0.06, 0.10, 0.12, 0.16, 0.20)
    pixels = unit(images)
    return to_uint8(pixels + pixels * random.normal(0, spread, images.shape))
