"""Weather between the camera and the object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from harmgauge.bundle.rows import Array
from harmgauge_models.data.corruptions.blur import trail
from harmgauge_models.data.corruptions.pixels import Images, at, to_uint8, unit, zoom

GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma of red, green and blue (ITU-R BT.601)."""

ICE = np.array([0.88, 0.95, 1.0], np.float32)


def snow(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Flakes from the bright tail of noise, enlarged and smeared as they fall; the scene behind becomes paler."""
    mean, spread, size, least, reach_pixels, spread_pixels, kept = at(
        severity,
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    )
    flakes = zoom(random.normal(mean, spread, (*images.shape[:3], 1)).astype(np.float32), size)
    flakes = np.clip(np.where(flakes < least, 0, flakes), 0, 1)
    flakes = trail(flakes, reach_pixels, spread_pixels, random.uniform(-135, -45, len(images)))
    pixels = unit(images)
    pale = np.maximum(pixels, (pixels @ GREY)[..., None] * 1.5 + 0.5)
    return to_uint8(kept * pixels + (1 - kept) * pale + flakes + flakes[:, ::-1, ::-1])


def frost(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Ice on the pane.

    The benchmark overlays photographs of frost, which this package may not ship. Here the ice is a texture of seeded
    noise, with the benchmark's weights, and coarse enough to do about as much harm. This is the only kind that differs
    from the published one.
    """
    kept, ice = at(severity, (1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))
    return to_uint8(kept * unit(images) + ice * _ice(images.shape, random))


def fog(images: Images, severity: int, random: np.random.Generator) -> Images:
    """A plasma fractal over the image, which then loses contrast."""
    thickness, decay = at(severity, (0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))
    pixels = unit(images)
    brightest = pixels.max((1, 2, 3), keepdims=True)
    height, width = images.shape[1:3]
    clouds = plasma(len(images), max(height, width), decay, random)[:, :height, :width, None]
    return to_uint8((pixels + thickness * clouds) * brightest / np.maximum(brightest + thickness, 1e-6))


def plasma(count: int, size: int, decay: float, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Diamond-square fractals in 0..1, (count, side, side), whose side is the next power of two, periodic at the
    borders.

    The noise is uniform within 100 squared and falls by `decay` squared with each halving of the step.
    """
    side = 2 ** int(np.ceil(np.log2(max(size, 2))))
    heights = np.zeros((count, side, side), np.float32)
    step, reach = side, 100.0
    while step >= 2:
        half = step // 2
        shape = (count, side // step, side // step)
        corners = heights[:, ::step, ::step]
        below, beside = np.roll(corners, -1, 1), np.roll(corners, -1, 2)
        square = (corners + below + beside + np.roll(below, -1, 2)) / 4 + random.uniform(-1, 1, shape) * reach**2
        heights[:, half::step, half::step] = square
        middle = heights[:, half::step, half::step]
        beside_noise, below_noise = random.uniform(-1, 1, (2, *shape)) * reach**2
        heights[:, ::step, half::step] = (corners + beside + middle + np.roll(middle, 1, 1)) / 4 + beside_noise
        heights[:, half::step, ::step] = (corners + below + middle + np.roll(middle, 1, 2)) / 4 + below_noise
        step, reach = half, reach / decay
    heights -= heights.min((1, 2), keepdims=True)
    found: npt.NDArray[np.float32] = heights / np.maximum(heights.max((1, 2), keepdims=True), 1e-6)
    return found


def _ice(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Textures of ice (n, h, w, 3) in 0..1: bright needles along the ridges of noise, thicker in some places."""
    count, height, width = shape[:3]
    needles = np.zeros((count, height, width), np.float32)
    for radius_pixels, weight in ((0.8, 0.5), (1.6, 0.6), (3.2, 0.5)):
        waves = _standardised(gaussian_filter(random.normal(size=needles.shape), (0, radius_pixels, radius_pixels)))
        needles += weight * np.maximum(0, 1 - np.abs(waves))
    thick = _standardised(gaussian_filter(random.normal(size=needles.shape), (0, height / 6, width / 6)))
    cover = np.clip(0.25 + 0.2 * thick, 0, 0.6)
    return np.clip(needles * (0.3 + cover) + cover, 0, 1)[..., None] * ICE


def _standardised(waves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = waves / np.maximum(waves.std((1, 2), keepdims=True), 1e-6)
    return found
