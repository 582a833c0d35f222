"""Random corruptions of the pixels' places: moved, rotated, mirrored, cut into tiles, covered."""

from __future__ import annotations

import numpy as np

from harmgauge.bundle.rows import Array
from harmgauge_models.data.corruptions.pixels import sample
from harmgauge_models.data.random_corruptions.shared import Pixels, Strengths, some, uniform


def occlude(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """A rectangle of one colour, or of noise."""
    height, width = pixels.shape[1:3]
    middle_down, middle_right = uniform(pixels, 0, height, random), uniform(pixels, 0, width, random)
    tall, wide = (side * (0.05 + 0.4 * strengths) * uniform(pixels, 0.5, 1.5, random) for side in (height, width))
    down, right = np.arange(height)[:, None, None], np.arange(width)[:, None]
    inside = (np.abs(down - middle_down) < tall) & (np.abs(right - middle_right) < wide)
    flat = random.random((len(pixels), 1, 1, pixels.shape[3]), np.float32)
    fill = np.where(some(pixels, 0.3, random), random.random(pixels.shape, np.float32), flat)
    return np.where(inside, fill, pixels)


def move(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Rotate a little, scale, shear and shift."""
    height, width = pixels.shape[1:3]
    reach = strengths[..., 0]

    def within(most: float) -> Array:
        return reach * uniform(pixels, -most, most, random)[..., 0]

    moved = (within(height / 8), within(width / 8))
    return _placed(pixels, within(0.4), np.exp(within(0.35)), random, shear=within(0.25), moved=moved)


def turn(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Rotate by any angle, often by quarters of a full turn."""
    quarter = np.pi / 2
    angle = strengths[..., 0] * np.pi * np.where(some(pixels, 0.5, random)[..., 0], -1, 1)
    angle = np.where(
        some(pixels, 0.35, random)[..., 0], np.ceil(2 * strengths[..., 0]) * quarter * np.sign(angle), angle
    )
    return _placed(pixels, angle, np.ones_like(angle), random)


def resize(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Enlarge, so that only a part remains, or shrink within a border."""
    away = np.where(some(pixels, 0.5, random), -0.9, 1.1)[..., 0] * strengths[..., 0]
    stretched = 0.3 * strengths[..., 0] * uniform(pixels, -1, 1, random)[..., 0]
    height, width = pixels.shape[1:3]
    room = np.maximum(0, 1 - np.exp(-away))
    moved = tuple(uniform(pixels, -0.5, 0.5, random)[..., 0] * room * side for side in (height, width))
    return _placed(pixels, np.zeros_like(away), np.exp(away + stretched), random, moved=moved)


def mirror(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Mirror vertically, horizontally, or both; more often at higher strength."""
    way = random.integers(1, 4, size=strengths.shape) * (random.random(strengths.shape) < 0.2 + 0.8 * strengths)
    made = np.where(way & 1, pixels[:, ::-1], pixels)
    return np.where(way & 2, made[:, :, ::-1], made)


def tiles(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Cut into 2 x 2 to 8 x 8 tiles and let some of them change places."""
    height, width = pixels.shape[1:3]
    made = pixels.copy()
    across = random.choice([2, 3, 4, 8], len(pixels))
    for number in np.unique(across[np.minimum(height, width) >= across]):
        rows = np.flatnonzero(across == number)
        tall, wide = height // number, width // number
        cut = pixels[rows, : tall * number, : wide * number]
        cut = cut.reshape(len(rows), number, tall, number, wide, -1).swapaxes(2, 3)
        cut = cut.reshape(len(rows), number**2, tall, wide, -1)
        keys = np.tile(np.arange(number**2, dtype=np.float64), (len(rows), 1))
        taken = random.random(keys.shape) < 0.2 + 0.9 * strengths[rows, 0, 0]
        order = np.tile(np.arange(number**2), (len(rows), 1))
        shuffled = np.argsort(np.where(taken, random.random(keys.shape), np.inf), axis=1, kind="stable")
        places = np.argsort(~taken, axis=1, kind="stable")
        np.put_along_axis(order, places, shuffled, axis=1)
        cut = cut[np.arange(len(rows))[:, None], order]
        cut = cut.reshape(len(rows), number, number, tall, wide, -1).swapaxes(2, 3)
        made[rows, : tall * number, : wide * number] = cut.reshape(len(rows), tall * number, wide * number, -1)
    return made


def shuffle(pixels: Pixels, strengths: Strengths, random: np.random.Generator) -> Array:
    """Let some pixels take the place of their neighbours."""
    height, width = pixels.shape[1:3]
    moved = random.random(pixels.shape[:3]) < 0.2 + 0.8 * strengths[..., 0]
    reach = 0.5 + 0.9 * strengths[..., 0]
    down, right = (np.rint(random.uniform(-1, 1, pixels.shape[:3]) * reach).astype(int) * moved for _ in range(2))
    rows = np.clip(np.arange(height)[:, None] + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    found: Array = pixels[np.arange(len(pixels))[:, None, None], rows, columns]
    return found


def _placed(
    pixels: Pixels,
    angle: Array,
    size: Array,
    random: np.random.Generator,
    *,
    shear: Array | float = 0.0,
    moved: tuple[Array | float, ...] = (0.0, 0.0),
) -> Array:
    """Each picture turned by `angle` radians, seen `size` times as wide, sheared and `moved` by pixels; all (n, 1, 1).

    Beyond the borders it is mirrored, or one colour.
    """
    height, width = pixels.shape[1:3]
    down = np.arange(height)[:, None] - (height - 1) / 2
    right = np.arange(width) - (width - 1) / 2
    rows = size * (np.cos(angle) * down + (np.sin(angle) + shear) * right) + (height - 1) / 2 + moved[0]
    columns = size * (np.cos(angle) * right - np.sin(angle) * down) + (width - 1) / 2 + moved[1]
    made = sample(pixels, rows.astype(np.float32), columns.astype(np.float32))
    outside = (rows < -0.5) | (rows > height - 0.5) | (columns < -0.5) | (columns > width - 0.5)
    border = np.where(some(pixels, 0.5, random), 0, random.random((len(pixels), 1, 1, pixels.shape[3]), np.float32))
    return np.where(outside[..., None] & some(pixels, 0.5, random), border, made)
