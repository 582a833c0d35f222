"""Small random changes of training instances, so that a network generalises beyond them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import image_layout
from harmgauge_models.errors import UserError


@dataclass(frozen=True)
class Augment:
    """`shift_pixels` is the largest shift in each direction, filled with zeros; `flip` mirrors half of the
    instances.
    """

    shift_pixels: int = 0
    flip: bool = False

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises UserError if a change is requested but instances of this shape are not images."""
        if (self.shift_pixels or self.flip) and image_layout(shape) is None:
            raise UserError(f"--shift-pixels and --flip are for images, but the rows are {shape}")


def batches(
    x: Array, batch_rows: int, seed: tuple[int, ...], augment: Augment
) -> Iterator[tuple[npt.NDArray[np.intp], Array]]:
    """One epoch of shuffled batches of `x` (n, *shape): the rows' indices (b,), and the rows (b, *shape), augmented as
    specified.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(x))
    planes = image_layout(x.shape[1:]) == "CHW"
    sides = (2, 3) if planes else (1, 2)
    pad = augment.shift_pixels
    if pad:
        padded = np.pad(x, [(pad, pad) if axis in sides else (0, 0) for axis in range(x.ndim)])
        windows = sliding_window_view(padded, [x.shape[axis] for axis in sides], axis=sides)
        # Now (n, channels, top, left, height, width) or (n, top, left, channels, height, width).
        windows = np.moveaxis(windows, 1, 3) if planes else windows
    for start in range(0, len(order), batch_rows):
        rows = order[start : start + batch_rows]
        if pad:
            top, left = random.integers(0, 2 * pad + 1, (2, len(rows)))
            made = windows[rows, top, left]
            made = made if planes else made.transpose(0, 2, 3, 1)
        else:
            made = x[rows]
        if augment.flip:
            mirrored = random.random(len(rows)) < 0.5
            made[mirrored] = np.flip(made[mirrored], sides[1])
        yield rows, np.ascontiguousarray(made)
