"""Common parts of all random corruptions: types, random numbers for each image, filters, smooth noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import fft

from harmgauge.bundle.rows import Array

Pixels = npt.NDArray[np.float32]
"""Images (n, height, width, channels) in which 0 is black and 1 is white."""

Strengths = npt.NDArray[np.float32]
"""Strengths (n, 1, 1, 1): at 0 almost nothing changes, at 1 much."""

Disturbance = Callable[[Pixels, Strengths, np.random.Generator], Array]


def uniform(pixels: Pixels, low: float, high: float, random: np.random.Generator) -> Array:
    return random.uniform(low, high, (len(pixels), 1, 1, 1)).astype(np.float32)


def some(pixels: Pixels, share: float, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    return random.random((len(pixels), 1, 1, 1)) < share


def frequencies(pixels: Array) -> tuple[Array, Array]:
    """Angular frequencies in radians per pixel, by row (h, 1) and by column (w // 2 + 1,)."""
    height, width = pixels.shape[1:3]
    by_row, by_column = 2 * np.pi * fft.fftfreq(height)[:, None], 2 * np.pi * fft.rfftfreq(width)
    return by_row.astype(np.float32), by_column.astype(np.float32)


def filtered(pixels: Array, spectra: Array) -> Array:
    """Multiply the spectrum of each image by the given one (n, h, w

    2 + 1).

    The spectra have the size of the image, so the filter wraps around at the borders; for a few pixels that is one more
    disturbance.
    """
    transformed = fft.rfft2(pixels, axes=(1, 2)) * spectra[..., None].astype(np.complex64)
    return fft.irfft2(transformed, s=pixels.shape[1:3], axes=(1, 2))


def smooth_noise(pixels: Pixels, random: np.random.Generator) -> Array:
    """Smooth noise (n, h, w, 1) with mean 0, spread 1 and a random scale."""
    grains = random.standard_normal((*pixels.shape[:3], 1), np.float32)
    down, right = frequencies(grains)
    radius = np.exp(uniform(pixels, np.log(0.5), np.log(6), random))[..., 0]
    clouds = filtered(grains, np.exp(-0.5 * radius**2 * (down**2 + right**2)))
    spread = clouds.std((1, 2), keepdims=True)
    found: Array = (clouds - clouds.mean((1, 2), keepdims=True)) / np.maximum(spread, 1e-6)
    return found
