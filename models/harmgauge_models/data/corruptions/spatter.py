"""Rain or mud on the lens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve, distance_transform_edt, gaussian_filter, label, uniform_filter

from harmgauge.bundle.rows import Array
from harmgauge_models.data.corruptions.pixels import Images, at, to_uint8, unit

WATER = np.array([175, 238, 238], np.float32) / 255
MUD = np.array([63, 42, 20], np.float32) / 255
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
SOBEL = np.outer([1, 0, -1], [1, 2, 1])
APART = 1e6
"""Distance in pixels between images, large enough that no image affects another's edges."""


def spatter(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Drops from the bright tail of smooth noise: water, with light on its edges (severity 1 to 3), or mud (4, 5)."""
    mean, spread, radius_pixels, least, strength, mud = at(
        severity,
        (0.62, 0.1, 0.7, 0.7, 0.5, False),
        (0.65, 0.1, 0.8, 0.7, 0.5, False),
        (0.65, 0.3, 1, 0.69, 0.5, False),
        (0.65, 0.1, 0.7, 0.69, 0.6, True),
        (0.65, 0.1, 0.5, 0.68, 0.6, True),
    )
    liquid = gaussian_filter(random.normal(mean, spread, images.shape[:3]), (0, radius_pixels, radius_pixels))
    liquid = np.where(liquid < least, 0, liquid)
    pixels = unit(images)
    if mud:
        cover = gaussian_filter((liquid > least).astype(float), (0, strength, strength))
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return to_uint8(pixels * (1 - cover) + MUD * cover)
    drops = np.clip(liquid * 255, 0, 255).astype(np.uint8)
    shine = drops * _relief(drops)
    shine = shine / np.maximum(shine.max((1, 2), keepdims=True), 1e-6)
    return to_uint8(pixels + strength * shine[..., None] * WATER)


def _relief(drops: npt.NDArray[np.uint8]) -> Array:
    """The brightness, 0..255, of each pixel of the drops (n, h, w) in light from one side."""
    edges = canny(drops, 50, 150)
    distance = distance_transform_edt(~edges, sampling=(APART, 1, 1)) if edges.any() else np.full(drops.shape, 20.0)
    smooth = uniform_filter(np.minimum(distance, 20), (0, 3, 3), mode="mirror").astype(np.uint8)
    even = np.stack([_equalised(image) for image in smooth]).astype(float)
    lit = np.clip(convolve(even, RELIEF[None, ::-1, ::-1], mode="mirror"), 0, 255)
    return uniform_filter(lit, (0, 3, 3), mode="mirror")


def canny(pictures: npt.NDArray[np.uint8], low: float, high: float) -> npt.NDArray[np.bool_]:
    """Edges of greyscale `pictures` (n, h, w) after Canny 1986: the crests of the gradient (the sum of the absolute
    Sobel derivatives) that are steeper than `low` and connect to one steeper than `high`.
    """
    real = pictures.astype(float)
    down, right = (convolve(real, kernel[None], mode="nearest") for kernel in (SOBEL, SOBEL.T))
    steep = np.abs(down) + np.abs(right)
    padded = np.pad(steep, ((0, 0), (1, 1), (1, 1)))
    height, width = pictures.shape[1:]
    octant = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    crest = np.zeros(pictures.shape, bool)
    for direction, (y, x) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        behind = padded[:, 1 - y : 1 - y + height, 1 - x : 1 - x + width]
        crest |= (octant == direction) & (steep > behind) & (steep >= ahead)
    within_image = np.zeros((3, 3, 3), int)
    within_image[1] = 1
    pieces, count = label(crest & (steep > low), within_image)
    joined = np.zeros(count + 1, bool)
    joined[pieces[crest & (steep > high)]] = True
    joined[0] = False
    return joined[pieces]


def _equalised(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Histogram equalisation: the darkest value becomes 0, the brightest 255. A flat image is unchanged."""
    counts = np.bincount(image.ravel(), minlength=256)
    below = counts.cumsum() - counts[image.min()]
    if not below[-1]:
        return image
    found: npt.NDArray[np.uint8] = np.round(np.maximum(below, 0) * 255 / below[-1]).astype(np.uint8)[image]
    return found
