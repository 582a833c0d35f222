"""Random disturbances of pictures, for training: general kinds in chains, at every strength.

This follows the idea of PRIME (Modas et al. 2022) and AugMix (Hendrycks et al. 2020): a few wide families (noise,
filters, colour, veils, occlusion, movement) prepare a network better for future corruptions than any list of specific
ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import fft

from harmgauge.bundle.rows import Array
from harmgauge_models.data.corruptions.pixels import sample

Pixels = npt.NDArray[np.float32]
"""Images (n, height, width, channels) in which 0 is black and 1 is white."""

Strengths = npt.NDArray[np.float32]
"""Strengths (n, 1, 1, 1): at 0 almost nothing changes, at 1 much."""

Disturbance = Callable[[Pixels, Strengths, np.random.Generator], Array]

MOST_LINKS = 3
LINKS_SHARES = (0.55, 0.3, 0.15)
"""Shares of chains with one, two and three disturbances."""

RESEMBLED = (
    "gaussian_noise",
    "gaussian_blur",
    "glass_blur",
    "brightness",
    "contrast",
    "saturate",
    "pixelate",
    "jpeg_compression",
)
"""Kinds of CIFAR-10-C that resemble one of the disturbances; a detector's quality is judged on the others."""


def disturb(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Disturb each image with its own random chain; values stay within 0..1."""
    made = pixels.copy()
    shares = np.array(list(DISTURBANCES.values())) / sum(DISTURBANCES.values())
    links = 1 + random.choice(MOST_LINKS, len(pixels), p=LINKS_SHARES)
    for link in range(MOST_LINKS):
        chosen = np.where(links > link, random.choice(len(DISTURBANCES), len(pixels), p=shares), -1)
        for index, change in enumerate(DISTURBANCES):
            rows = np.flatnonzero(chosen == index)
            if len(rows):
                # Longer chains have weaker links, so that they do no more harm than one
                strengths = random.random((len(rows), 1, 1, 1), np.float32) / links[rows, None, None, None] ** 0.5
                made[rows] = np.clip(change(made[rows], strengths.astype(np.float32), random), 0, 1)
    return made


def noise(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """White noise on all values or on some, the same for all channels or not."""
    grains = random.standard_normal(pixels.shape, np.float32)
    grains = np.where(_some(pixels, 0.25, random), grains[..., :1], grains)
    density = np.where(_some(pixels, 0.5, random), 1, _uniform(pixels, 0.02, 1, random))
    grains *= random.random(pixels.shape, np.float32) < density
    return pixels + 0.25 * strengths**1.5 * grains / density**0.5


def smear(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """An anisotropic Gaussian filter."""
    long, short = 0.3 + 2 * strengths[..., 0] ** 1.5, _uniform(pixels, 0.1, 1, random)[..., 0]
    angle = _uniform(pixels, 0, np.pi, random)[..., 0]
    down, right = _frequencies(pixels)
    along = np.cos(angle) * right + np.sin(angle) * down
    across = np.cos(angle) * down - np.sin(angle) * right
    return _filter(pixels, np.exp(-0.5 * ((long * along) ** 2 + (long * short * across) ** 2)))


def echo(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """A filter of a few points nearby, some of which may be negative: ghosts, ringing, one-sided blur."""
    height, width = pixels.shape[1:3]
    points = 6
    down, right = _frequencies(pixels)
    spectrum = (1 - strengths[..., 0]).astype(np.complex64) * np.ones((len(pixels), height, width // 2 + 1))
    weights = random.dirichlet([0.7] * points, len(pixels)) * np.where(
        random.random((len(pixels), points)) < 0.1, -1, 1
    )
    weights /= np.maximum(np.abs(weights.sum(1, keepdims=True)), 0.3)
    for weight, y, x in zip(weights.T, *(random.normal(0, 1.6, (2, points, len(pixels)))), strict=True):
        shift = np.exp(-1j * (y[:, None, None] * down + x[:, None, None] * right))
        spectrum += strengths[..., 0] * weight[:, None, None] * shift
    return _filter(pixels, spectrum)


def levels(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Change contrast, brightness and gamma, up or down."""
    mean = pixels.mean((1, 2), keepdims=True)
    factor = np.where(_some(pixels, 0.65, random), 1 - 0.93 * strengths, 1 + strengths)
    shift = 0.35 * strengths * _uniform(pixels, -1, 1, random)
    gamma = np.exp2(strengths * _uniform(pixels, -1.2, 1.2, random))
    return np.clip((pixels - mean) * factor + mean + shift, 0, 1) ** gamma  # type: ignore[no-any-return]


def colour(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Mix, tint and invert the channels in part."""
    channels = pixels.shape[3]
    mixing = random.dirichlet([1.0] * channels, (len(pixels), channels))
    away = np.where(random.random((len(pixels), 1, 1)) < 0.3, -1.5, 1.0) * strengths[:, 0]
    matrices = (1 - away) * np.eye(channels) + away * mixing
    tint = 1 + 0.4 * strengths * random.uniform(-1, 1, (len(pixels), 1, 1, channels))
    return np.einsum("nhwc,ndc->nhwd", pixels, matrices.astype(np.float32), optimize=True) * tint  # type: ignore[no-any-return]


def posterise(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Reduce the number of steps from black to white."""
    step = 0.02 + 0.4 * strengths
    return (np.floor(pixels / step + _uniform(pixels, 0, 1, random)) + 0.5) * step  # type: ignore[no-any-return]


def veil(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Put a single colour in front of the image, in clouds or spots with soft or hard edges."""
    clouds = _clouds(pixels, random)
    hardness = np.exp(_uniform(pixels, -0.7, 3, random))
    cover = 1 / (1 + np.exp(-np.clip(hardness * (clouds - _uniform(pixels, -0.5, 2, random)), -30, 30)))
    shade = np.where(_some(pixels, 0.5, random), _uniform(pixels, 0, 1, random), random.random((len(pixels), 1, 1, 1)))
    tint = 0.3 * random.uniform(-1, 1, (len(pixels), 1, 1, pixels.shape[3]))
    opacity = cover * (0.1 + 0.8 * strengths)
    return pixels * (1 - opacity) + (shade + tint) * opacity  # type: ignore[no-any-return]


def unevenness(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Smooth noise of any scale, added or as uneven light."""
    clouds = _clouds(pixels, random)
    reach = 0.3 * strengths * clouds
    return np.where(_some(pixels, 0.3, random), pixels * np.exp(2 * reach), pixels + reach)


def occlude(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """A rectangle of one colour, or of noise."""
    height, width = pixels.shape[1:3]
    middle_down, middle_right = _uniform(pixels, 0, height, random), _uniform(pixels, 0, width, random)
    tall, wide = (side * (0.05 + 0.3 * strengths) * _uniform(pixels, 0.5, 1.5, random) for side in (height, width))
    down, right = np.arange(height)[:, None, None], np.arange(width)[:, None]
    inside = (np.abs(down - middle_down) < tall) & (np.abs(right - middle_right) < wide)
    flat = random.random((len(pixels), 1, 1, pixels.shape[3]), np.float32)
    fill = np.where(_some(pixels, 0.3, random), random.random(pixels.shape, np.float32), flat)
    return np.where(inside, fill, pixels)


def move(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Rotate, scale, shear and shift; mirror beyond the borders."""
    height, width = pixels.shape[1:3]
    reach = strengths[..., 0]

    def within(most: float) -> Array:
        return reach * _uniform(pixels, -most, most, random)[..., 0]

    angle, size, shear = within(0.4), np.exp(within(0.35)), within(0.25)
    down = np.arange(height)[:, None] - (height - 1) / 2
    right = np.arange(width) - (width - 1) / 2
    rows = size * (np.cos(angle) * down + (np.sin(angle) + shear) * right) + (height - 1) / 2 + within(height / 8)
    columns = size * (np.cos(angle) * right - np.sin(angle) * down) + (width - 1) / 2 + within(width / 8)
    return sample(pixels, rows.astype(np.float32), columns.astype(np.float32))


def shuffle(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Let some pixels take the place of their neighbours."""
    height, width = pixels.shape[1:3]
    moved = random.random(pixels.shape[:3]) < 0.2 + 0.8 * strengths[..., 0]
    reach = 0.5 + 0.9 * strengths[..., 0]
    down, right = (np.rint(random.uniform(-1, 1, pixels.shape[:3]) * reach).astype(int) * moved for _ in range(2))
    rows = np.clip(np.arange(height)[:, None] + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    return pixels[np.arange(len(pixels))[:, None, None], rows, columns]  # type: ignore[no-any-return]


def coarsen(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Lower the resolution: each pixel becomes one pixel, or the mean, of its cell in a coarser grid."""
    height, width = pixels.shape[1:3]
    cell = 1 + 1.4 * strengths[:, 0, 0] * random.random((len(pixels), 1), np.float32) ** 0.5
    rows, columns = (
        np.minimum((np.floor(np.arange(side) / cell) + 0.5) * cell, side - 1).astype(np.float32)
        for side in (height, width)
    )
    softened = _filter(
        pixels, np.exp(-0.5 * (0.4 * (cell[..., None] - 1)) ** 2 * sum(f**2 for f in _frequencies(pixels)))
    )
    source = np.where(_some(pixels, 0.7, random), softened, pixels).astype(np.float32)
    down, right = (np.floor(places).astype(int) for places in (rows, columns))
    return source[np.arange(len(pixels))[:, None, None], down[:, :, None], right[:, None, :]]  # type: ignore[no-any-return]


def recode(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Quantise the cosine spectrum of each 8 x 8 block, finer structure more coarsely, as in lossy codecs."""
    block = 8
    height, width = pixels.shape[1:3]
    padded = np.pad(pixels, ((0, 0), (0, -height % block), (0, -width % block), (0, 0)), mode="edge")
    down, right = padded.shape[1] // block, padded.shape[2] // block
    blocks = padded.reshape(len(pixels), down, block, right, block, pixels.shape[3])
    spectra = fft.dctn(blocks, axes=(2, 4), norm="ortho")
    fineness = np.arange(block)[:, None, None, None] + np.arange(block)[:, None]
    step = (0.01 + 0.12 * strengths[..., None, None]) * (1 + fineness * _uniform(pixels, 0, 1, random)[..., None, None])
    coded = fft.idctn(np.rint(spectra / step) * step, axes=(2, 4), norm="ortho")
    return coded.reshape(padded.shape)[:, :height, :width]


DISTURBANCES: dict[Disturbance, float] = {
    noise: 3,
    smear: 3,
    echo: 1,
    levels: 2,
    colour: 1,
    posterise: 1,
    veil: 1.5,
    unevenness: 1.5,
    occlude: 0.5,
    move: 1,
    shuffle: 1,
    coarsen: 1,
    recode: 1.5,
}
"""Relative frequency of each disturbance."""


def _clouds(pixels: Pixels, random: np.random.Generator) -> Array:
    """Smooth noise (n, h, w, 1) with mean 0, spread 1 and a random scale."""
    grains = random.standard_normal((*pixels.shape[:3], 1), np.float32)
    down, right = _frequencies(grains)
    radius = np.exp(_uniform(pixels, np.log(0.5), np.log(6), random))[..., 0]
    clouds = _filter(grains, np.exp(-0.5 * radius**2 * (down**2 + right**2)))
    spread = clouds.std((1, 2), keepdims=True)
    return (clouds - clouds.mean((1, 2), keepdims=True)) / np.maximum(spread, 1e-6)  # type: ignore[no-any-return]


def _filter(pixels: Array, spectra: Array) -> Array:
    """Multiply the spectrum of each image by the given one (n, h, w

    2 + 1).

    The spectra have the size of the image, so the filter wraps around at the borders; for a few pixels that is one more
    disturbance.
    """
    transformed = fft.rfft2(pixels, axes=(1, 2)) * spectra[..., None].astype(np.complex64)
    return fft.irfft2(transformed, s=pixels.shape[1:3], axes=(1, 2))


def _frequencies(pixels: Array) -> tuple[Array, Array]:
    """Angular frequencies in radians per pixel, by row (h, 1) and by column (w

    2 + 1,).
    """
    height, width = pixels.shape[1:3]
    by_row, by_column = 2 * np.pi * fft.fftfreq(height)[:, None], 2 * np.pi * fft.rfftfreq(width)
    return by_row.astype(np.float32), by_column.astype(np.float32)


def _uniform(pixels: Pixels, low: float, high: float, random: np.random.Generator) -> Array:
    return random.uniform(low, high, (len(pixels), 1, 1, 1)).astype(np.float32)


def _some(pixels: Pixels, share: float, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    return random.random((len(pixels), 1, 1, 1)) < share
