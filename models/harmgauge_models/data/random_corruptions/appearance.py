"""Random corruptions of the pixels' values: noise, filters, light, colour, veils, resolution, codecs."""

from __future__ import annotations

import numpy as np
from scipy import fft

from harmgauge.bundle.rows import Array
from harmgauge_models.data.random_corruptions.shared import (
    Pixels,
    Strengths,
    filtered,
    frequencies,
    smooth_noise,
    some,
    uniform,
)


def noise(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """White noise on all values or on some, the same for all channels or not."""
    grains = random.standard_normal(pixels.shape, np.float32)
    grains = np.where(some(pixels, 0.25, random), grains[..., :1], grains)
    density = np.where(some(pixels, 0.5, random), 1, uniform(pixels, 0.02, 1, random))
    grains *= random.random(pixels.shape, np.float32) < density
    return pixels + 0.25 * strengths**1.5 * grains / density**0.5


def smear(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """An anisotropic Gaussian filter."""
    long, short = 0.3 + 2 * strengths[..., 0] ** 1.5, uniform(pixels, 0.1, 1, random)[..., 0]
    angle = uniform(pixels, 0, np.pi, random)[..., 0]
    down, right = frequencies(pixels)
    along = np.cos(angle) * right + np.sin(angle) * down
    across = np.cos(angle) * down - np.sin(angle) * right
    return filtered(pixels, np.exp(-0.5 * ((long * along) ** 2 + (long * short * across) ** 2)))


def echo(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """A filter of a few points nearby, some of which may be negative: ghosts, ringing, one-sided blur."""
    height, width = pixels.shape[1:3]
    points = 6
    down, right = frequencies(pixels)
    spectrum = (1 - strengths[..., 0]).astype(np.complex64) * np.ones((len(pixels), height, width // 2 + 1))
    weights = random.dirichlet([0.7] * points, len(pixels)) * np.where(
        random.random((len(pixels), points)) < 0.1, -1, 1
    )
    weights /= np.maximum(np.abs(weights.sum(1, keepdims=True)), 0.3)
    for weight, y, x in zip(weights.T, *(random.normal(0, 1.6, (2, points, len(pixels)))), strict=True):
        shift = np.exp(-1j * (y[:, None, None] * down + x[:, None, None] * right))
        spectrum += strengths[..., 0] * weight[:, None, None] * shift
    return filtered(pixels, spectrum)


def levels(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Change contrast, brightness and gamma, up or down."""
    mean = pixels.mean((1, 2), keepdims=True)
    factor = np.where(some(pixels, 0.7, random), 1 - 0.96 * strengths, 1 + strengths)
    shift = 0.35 * strengths * uniform(pixels, -1, 1, random)
    gamma = np.exp2(strengths * uniform(pixels, -1.2, 1.2, random))
    found: Array = np.clip((pixels - mean) * factor + mean + shift, 0, 1) ** gamma
    return found


def colour(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Mix, tint, invert or exchange the channels, in part or fully."""
    channels = pixels.shape[3]
    mixing = random.dirichlet([1.0] * channels, (len(pixels), channels))
    exchanged = np.argsort(random.random((len(pixels), channels)), axis=1)[..., None] == np.arange(channels)
    mixing = np.where(random.random((len(pixels), 1, 1)) < 0.3, exchanged, mixing)
    away = np.where(random.random((len(pixels), 1, 1)) < 0.2, -1.5, 1.0) * strengths[:, 0]
    matrices = (1 - away) * np.eye(channels) + away * mixing
    tint = 1 + 0.4 * strengths * random.uniform(-1, 1, (len(pixels), 1, 1, channels))
    found: Array = np.einsum("nhwc,ndc->nhwd", pixels, matrices.astype(np.float32), optimize=True) * tint
    return found


def invert(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Invert all values, or only those above a level (solarisation)."""
    level = np.where(some(pixels, 0.5, random), 1 - strengths, -1)
    share = np.where(level < 0, np.minimum(1, 0.2 + 1.2 * strengths), 1)
    inverted = pixels * (1 - share) + (1 - pixels) * share
    return np.where(pixels > level, inverted, pixels)


def posterise(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Reduce the number of steps from black to white."""
    step = 0.02 + 0.4 * strengths
    found: Array = (np.floor(pixels / step + uniform(pixels, 0, 1, random)) + 0.5) * step
    return found


def veil(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Put a single colour in front of the image, in clouds or spots with soft or hard edges."""
    clouds = smooth_noise(pixels, random)
    hardness = np.exp(uniform(pixels, -0.7, 3, random))
    cover = 1 / (1 + np.exp(-np.clip(hardness * (clouds - uniform(pixels, -0.5, 2, random)), -30, 30)))
    shade = np.where(some(pixels, 0.5, random), uniform(pixels, 0, 1, random), random.random((len(pixels), 1, 1, 1)))
    tint = 0.3 * random.uniform(-1, 1, (len(pixels), 1, 1, pixels.shape[3]))
    opacity = cover * (0.1 + 0.8 * strengths)
    found: Array = pixels * (1 - opacity) + (shade + tint) * opacity
    return found


def unevenness(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Smooth noise of any scale, added or as uneven light."""
    clouds = smooth_noise(pixels, random)
    reach = 0.3 * strengths * clouds
    return np.where(some(pixels, 0.3, random), pixels * np.exp(2 * reach), pixels + reach)


def coarsen(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Lower the resolution: each pixel becomes one pixel, or the mean, of its cell in a coarser grid."""
    height, width = pixels.shape[1:3]
    cell = 1 + 1.4 * strengths[:, 0, 0] * random.random((len(pixels), 1), np.float32) ** 0.5
    rows, columns = (
        np.minimum((np.floor(np.arange(side) / cell) + 0.5) * cell, side - 1).astype(np.float32)
        for side in (height, width)
    )
    softened = filtered(
        pixels, np.exp(-0.5 * (0.4 * (cell[..., None] - 1)) ** 2 * sum(f**2 for f in frequencies(pixels)))
    )
    source = np.where(some(pixels, 0.7, random), softened, pixels).astype(np.float32)
    down, right = (np.floor(places).astype(int) for places in (rows, columns))
    found: Array = source[np.arange(len(pixels))[:, None, None], down[:, :, None], right[:, None, :]]
    return found


def recode(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """The cosine spectrum of each 8 x 8 block quantised, finer structure more coarsely, as in lossy codecs; of coloured
    pictures often as brightness and two differences of colour, these more coarsely.
    """
    block = 8
    height, width, channels = pixels.shape[1:]
    towards = np.tile(np.eye(channels, dtype=np.float32), (len(pixels), 1, 1))
    coarser = np.ones((len(pixels), channels), np.float32)
    if channels == 3:
        split = random.random(len(pixels)) < 0.7
        towards[split] = _COLOUR_DIFFERENCES
        coarser[split, 1:] = random.uniform(1, 4, (int(split.sum()), 1))
    planes = np.einsum("nhwc,ndc->nhwd", pixels, towards, optimize=True)
    padded = np.pad(planes, ((0, 0), (0, -height % block), (0, -width % block), (0, 0)), mode="edge")
    down, right = padded.shape[1] // block, padded.shape[2] // block
    blocks = padded.reshape(len(pixels), down, block, right, block, channels)
    spectra = fft.dctn(blocks, axes=(2, 4), norm="ortho")
    fineness = np.arange(block)[:, None, None, None] + np.arange(block)[:, None]
    step = (0.01 + 0.16 * strengths[..., None, None] ** 1.3) * (
        1 + fineness * uniform(pixels, 0, 1, random)[..., None, None]
    )
    step = step * coarser[:, None, None, None, None]
    coded = fft.idctn(np.rint(spectra / step) * step, axes=(2, 4), norm="ortho")
    coded = coded.reshape(padded.shape)[:, :height, :width]
    found: Array = np.einsum("nhwc,ndc->nhwd", coded, np.linalg.inv(towards), optimize=True)
    return found


def pattern(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Add squares or stripes, each lighter or darker by one amount in each channel."""
    height, width = pixels.shape[1:3]
    side = np.exp(uniform(pixels, 0, np.log(max(2, min(height, width) / 3)), random))[..., 0]
    stripes = random.integers(4, size=(len(pixels), 1, 1))
    down = np.floor(np.arange(height)[:, None] / side).astype(int) * (stripes != 1)
    right = np.floor(np.arange(width) / side).astype(int) * (stripes != 2)
    signs = np.where(random.random(pixels.shape) < 0.5, -1.0, 1.0).astype(np.float32)
    each = np.arange(len(pixels))[:, None, None]
    covered = random.random((*pixels.shape[:3], 1), np.float32)[each, down, right] < uniform(pixels, 0.05, 1.2, random)
    found: Array = pixels + (0.01 + 0.12 * strengths**1.5) * signs[each, down, right] * covered
    return found


def streaks(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Add bright streaks in one direction, as in snow and rain, to a paler image."""
    down, right = frequencies(pixels)
    specks = random.random((*pixels.shape[:3], 1), np.float32) < 0.01 + 0.12 * strengths * random.random(
        strengths.shape, np.float32
    )
    angle, long = uniform(pixels, 0, np.pi, random)[..., 0], uniform(pixels, 0.3, 4, random)[..., 0]
    along = np.cos(angle) * right + np.sin(angle) * down
    across = np.cos(angle) * down - np.sin(angle) * right
    drawn = filtered(
        specks * random.random(specks.shape, np.float32), np.exp(-0.5 * ((long * along) ** 2 + (0.4 * across) ** 2))
    )
    drawn *= (0.3 + 0.9 * strengths) / np.maximum(drawn.max((1, 2), keepdims=True), 1e-3)
    paleness = 0.5 * strengths * random.random(strengths.shape, np.float32)
    grey = np.maximum(pixels, pixels.mean(3, keepdims=True) * 1.5 + 0.5)
    found: Array = pixels * (1 - paleness) + grey * paleness + np.clip(drawn, 0, 1)
    return found


_COLOUR_DIFFERENCES = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
"""Red, green and blue to brightness and two differences of colour (ITU-R BT.601, as in JPEG)."""
