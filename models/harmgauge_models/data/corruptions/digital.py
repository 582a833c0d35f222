"""Corruptions of the finished image: exposure, resolution, compression, distortion."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from harmgauge_models.data.corruptions.pixels import Images, at, sample, to_uint8, unit


def brightness(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Add this much to the value in HSV; hue and saturation are unchanged."""
    added = at(severity, 0.05, 0.1, 0.15, 0.2, 0.3)
    pixels = unit(images)
    value = pixels.max(3, keepdims=True)
    brighter = np.minimum(value + added, 1)
    return to_uint8(np.where(value > 0, pixels * brighter / np.maximum(value, 1e-6), brighter))


def contrast(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Haze, or a wrong exposure: every pixel moves towards its channel's mean."""
    kept = at(severity, 0.75, 0.5, 0.4, 0.3, 0.15)
    pixels = unit(images)
    means = pixels.mean((1, 2), keepdims=True)
    return to_uint8((pixels - means) * np.float32(kept) + means)


def saturate(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Scale and shift the saturation in HSV; a pure grey turns reddish because its hue is 0."""
    factor, added = at(severity, (0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))
    pixels = unit(images)
    value = pixels.max(3, keepdims=True)
    lacking = value - pixels
    chroma = lacking.max(3, keepdims=True)
    before = chroma / np.maximum(value, 1e-6)
    after = np.clip(before * factor + added, 0, 1)
    red = np.array([0, 1, 1], np.float32)
    share = np.where(chroma > 0, lacking / np.maximum(chroma, 1e-6), red)
    return to_uint8(value - value * after * share)


def pixelate(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Lower the resolution and enlarge the result."""
    factor = at(severity, 0.95, 0.9, 0.85, 0.75, 0.65)
    height, width = images.shape[1:3]
    small = (max(1, int(width * factor)), max(1, int(height * factor)))
    box = Image.Resampling.BOX
    pictures = (Image.fromarray(image).resize(small, box).resize((width, height), box) for image in images)
    return np.stack([np.asarray(picture) for picture in pictures])


def jpeg_compression(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Compress as a JPEG file of this quality."""
    quality = at(severity, 80, 65, 58, 50, 40)
    made = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        made.append(np.asarray(Image.open(file)))
    return np.stack(made)


def elastic_transform(images: Images, severity: int, random: np.random.Generator) -> Images:
    """Apply an affine warp of three randomly moved points, then an elastic one; all in shares of the shorter side."""
    strength, smoothness, moved = at(
        severity, (0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)
    )
    count, height, width = images.shape[:3]
    side = min(height, width)
    middle, arm = np.array([height // 2, width // 2]), max(1, side // 3)
    points = middle + arm * np.array([(1, 1), (-1, 1), (-1, -1)])
    targets = points + random.uniform(-moved * side, moved * side, (count, 3, 2))
    homogeneous = np.concatenate([targets, np.ones((count, 3, 1))], axis=2)
    back = np.linalg.solve(homogeneous, np.broadcast_to(points, (count, 3, 2)))
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), axis=2)
    places = grid @ back[:, None, :2] + back[:, None, 2:]
    warped = sample(unit(images), places[..., 0], places[..., 1])
    sheet = random.uniform(-1, 1, (2, count, height, width))
    if strength:
        radius_pixels = smoothness * side
        sheet = gaussian_filter(sheet, (0, 0, radius_pixels, radius_pixels), truncate=3)
    down, right = sheet * strength * side
    return to_uint8(sample(warped, grid[..., 0] + down, grid[..., 1] + right))
