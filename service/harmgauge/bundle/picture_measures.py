"""Physical measures of pictures, from their pixels alone: they describe what happened to a camera in its own words.

All are of the pixels as levels, 0 (black) to 255 (white), whatever the bundle's dtype and normalisation. Luma is that
of ITU-R BT.601, Y = 0.299 R + 0.587 G + 0.114 B; of a grey picture it is the level itself. Differences are between
neighbouring pixels, inside the picture only.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.rows import Array

Measure = Literal["brightness", "contrast", "sharpness", "noise", "saturation"]

MEASURES: tuple[Measure, ...] = ("brightness", "contrast", "sharpness", "noise", "saturation")
"""Grey pictures have all but the last."""

LEAST_SIDE = 3
"""Second differences need three pixels in each direction."""

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_LUMA: Float32 = np.array([0.299, 0.587, 0.114], np.float32)
_PIECE_NUMBERS = 2**18
"""Numbers measured at a time: intermediate results stay within a processor's cache."""


def names_of(spec: ImageSpec) -> tuple[Measure, ...]:
    """The measures of the bundle's pictures, in order."""
    return MEASURES if spec.channels > 1 else MEASURES[:-1]


def measures_of(rows: Array, spec: ImageSpec) -> Float64:
    """The measures of pictures (n, *shape) in the bundle's layout and dtype: (n, k), in the order of `names_of`.

    Both sides must have at least LEAST_SIDE pixels. See `brightness` and the functions after it for what each is.
    """
    found = np.empty((len(rows), len(names_of(spec))))
    at_once = max(1, _PIECE_NUMBERS // max(1, rows[:1].size))
    for begin in range(0, len(rows), at_once):
        levels = spec.to_levels(rows[begin : begin + at_once])
        luma = levels @ _LUMA if spec.channels > 1 else levels[..., 0]
        own = found[begin : begin + at_once]
        own[:, 0], own[:, 1], own[:, 2], own[:, 3] = brightness(luma), contrast(luma), sharpness(luma), noise(luma)
        if spec.channels > 1:
            own[:, 4] = saturation(levels)
    return found


def brightness(luma: Float32) -> Float64:
    """The mean of Y (n, height, width), in levels: (n,)."""
    return np.asarray(luma.mean(axis=(1, 2), dtype=np.float64))


def contrast(luma: Float32) -> Float64:
    """The standard deviation of Y (n, height, width), in levels: (n,)."""
    return np.asarray(luma.std(axis=(1, 2), dtype=np.float64))


def sharpness(luma: Float32) -> Float64:
    """The mean of |Laplacian of Y| divided by the mean of |Y'|, both directions added up: (n,).

    The Laplacian is 4 Y less its four neighbours, Y' the difference of two neighbours. The quotient is the steepness of
    edges: 2 for a step within one pixel, falling with the width of the blur. It does not depend on brightness and
    contrast, so it varies little between pictures. 0 for a picture of one colour.
    """
    centre = luma[:, 1:-1, 1:-1]
    bent = 4 * centre
    for neighbours in (luma[:, :-2, 1:-1], luma[:, 2:, 1:-1], luma[:, 1:-1, :-2], luma[:, 1:-1, 2:]):
        bent -= neighbours
    slope = _mean_size(np.diff(luma, axis=1)) + _mean_size(np.diff(luma, axis=2))
    return np.divide(_mean_size(bent), slope, out=np.zeros(len(luma)), where=slope > 0)


def noise(luma: Float32) -> Float64:
    """The standard deviation of noise in Y (n, height, width), in levels: (n,).

    Immerkaer's estimate (Fast noise variance estimation, 1996): sqrt(pi / 2) / 6 times the mean of |Y * M|, where the
    mask M = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]] removes everything that is smooth in one direction. Fine texture
    counts as noise.
    """
    across = luma[:, :, :-2] - 2 * luma[:, :, 1:-1] + luma[:, :, 2:]
    both = across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:]
    return math.sqrt(math.pi / 2) / 6 * _mean_size(both)


def saturation(levels: Float32) -> Float64:
    """The mean over the pixels of (largest - smallest channel) / largest, 0 for black (n, height, width, 3): (n,).

    0 for a picture without colours, 1 for pure ones.
    """
    largest, smallest = levels.max(axis=-1), levels.min(axis=-1)
    shares = np.divide(largest - smallest, largest, out=np.zeros_like(largest), where=largest > 0)
    return np.asarray(shares.mean(axis=(1, 2), dtype=np.float64))


def _mean_size(values: Float32) -> Float64:
    return np.asarray(np.abs(values).mean(axis=(1, 2), dtype=np.float64))
