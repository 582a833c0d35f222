"""Blur caused by the lens, frosted glass or movement."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve, gaussian_filter

from harmgauge.bundle.rows import Array
from harmgauge_models.data.corruptions.pixels import Images, at, to_uint8, unit, zoom


def gaussian_blur(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Gaussian blur, from which other kinds are built."""
    radius_pixels = at(severity, 0.4, 0.6, 0.7, 0.8, 1.0)
    return to_uint8(gaussian_filter(unit(images), (0, radius_pixels, radius_pixels, 0)))


def defocus_blur(images: Images, severity: int, random: np.random.Generator) -> Images:
    """A lens out of focus: each point becomes a disk with a smooth edge."""
    radius_pixels, edge_pixels = at(severity, (0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
    steps = np.arange(-3, 4)
    disk = (steps[:, None] ** 2 + steps**2 <= radius_pixels**2).astype(np.float32)
    edge = np.exp(-(np.arange(-1, 2) ** 2) / (2 * edge_pixels**2))
    kernel = convolve(disk / disk.sum(), np.outer(edge, edge) / edge.sum() ** 2, mode="mirror")
    return to_uint8(convolve(unit(images), kernel[None, :, :, None], mode="mirror"))


def glass_blur(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Frosted glass: blur, replace each pixel by a random nearby one (above or to the left), and blur again."""
    radius_pixels, reach, times = at(severity, (0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
    blurred = gaussian_filter(unit(images), (0, radius_pixels, radius_pixels, 0))
    moved = np.floor(blurred * 255) / 255
    height, width = images.shape[1:3]
    inner = np.zeros((height, width), bool)
    inner[reach + 1 :, reach + 1 :] = True
    each = np.arange(len(images))[:, None, None]
    for _ in range(times):
        up, left = random.integers(0, reach + 1, (2, len(images), height, width)) * inner
        moved = moved[each, np.arange(height)[:, None] - up, np.arange(width) - left]
    return to_uint8(gaussian_filter(moved, (0, radius_pixels, radius_pixels, 0)))


def motion_blur(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Camera motion at an angle of up to 45 degrees from level."""
    reach_pixels, spread_pixels = at(severity, (6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
    return to_uint8(trail(unit(images), reach_pixels, spread_pixels, random.uniform(-45, 45, len(images))))


def zoom_blur(images: Images, severity: int, random: np.random.Generator) -> Images:
    """The camera moves towards the object: the mean over zoom factors from 1 up to this, in steps of 0.01."""
    steps = at(severity, 6, 11, 16, 21, 26)
    pixels = unit(images)
    total = pixels.copy()
    for step in range(steps):
        total += zoom(pixels, 1 + step / 100)
    return to_uint8(total / (steps + 1))


def trail(pixels: Array, reach_pixels: int, spread_pixels: float, angles_degrees: npt.NDArray[np.float64]) -> Array:
    """Smear each of `pixels` (n, h, w, c) in its own direction, to one side, with the weights of half a Gaussian."""
    steps = np.arange(2 * reach_pixels + 1)
    weights = np.exp(-(steps**2) / (2 * spread_pixels**2))
    angles = np.deg2rad(angles_degrees)
    height, width = pixels.shape[1:3]
    each = np.arange(len(pixels))[:, None, None]
    smeared = np.zeros_like(pixels)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        down, right = (np.ceil(step * along - 0.5).astype(int) for along in (np.sin(angles), np.cos(angles)))
        rows = np.clip(np.arange(height) + down[:, None], 0, height - 1)
        columns = np.clip(np.arange(width) + right[:, None], 0, width - 1)
        smeared += np.float32(weight) * pixels[each, rows[:, :, None], columns[:, None, :]]
    return smeared
