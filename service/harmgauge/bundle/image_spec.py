"""The numerical part of preparing images: from 8-bit pixels to the values that the graph takes, and back."""

from __future__ import annotations

from functools import cached_property
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from harmgauge.bundle.inputs import Pictures
from harmgauge.bundle.rows import Rows

MODES: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}
"""Image mode by number of channels."""


class ImageSpec(Pictures):
    """`Pictures` for images of a mode."""

    mode: Literal["L", "RGB"]

    @property
    def resizes(self) -> bool:
        """Whether images of other sizes than the input's are accepted."""
        return self.resize is not None or self.crop is not None

    @property
    def normalises(self) -> bool:
        """Whether pixels are normalised before the graph."""
        return self.mean is not None or self.std is not None

    @property
    def channels(self) -> int:
        return 1 if self.mode == "L" else 3

    @cached_property
    def black(self) -> npt.NDArray[np.float64]:
        """The values of black, (channels,)."""
        return self._levels[:, 0]

    @cached_property
    def white(self) -> npt.NDArray[np.float64]:
        """The values of white, (channels,)."""
        return self._levels[:, 255]

    def of_pixels(self, pixels: npt.NDArray[np.uint8]) -> Rows:
        """Images (n, height, width, channels) in the layout; as float64 unless their values remain the same."""
        if self.normalises:
            values: Rows = np.empty(pixels.shape)
            for channel, levels in enumerate(self._levels):
                values[..., channel] = levels[pixels[..., channel]]
        else:
            values = pixels if self.scale == 1 else pixels.astype(np.float64) * self.scale
        return values.transpose(0, 3, 1, 2) if self.layout == "CHW" else values

    def to_pixels(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """The inverse, rounded, and clipped to 0..255."""
        return np.clip(np.rint(self._levels_of(rows, np.float64)), 0, 255).astype(np.uint8)

    def to_levels(self, rows: Rows) -> npt.NDArray[np.float32]:
        """The inverse in float32, neither rounded nor clipped: 0 is black, 255 white."""
        return self._levels_of(rows, np.float32).astype(np.float32, copy=False)

    def _levels_of(self, rows: Rows, dtype: npt.DTypeLike) -> Rows:
        """Images (n, height, width, channels); computed in `dtype` if there is anything to compute."""
        values = rows.transpose(0, 2, 3, 1) if self.layout == "CHW" else rows
        if not self.normalises and self.scale == 1:
            return values
        mean, std = np.asarray(self.mean or 0.0, dtype), np.asarray(self.std or 1.0, dtype)
        return np.asarray((values.astype(dtype) * std + mean) / np.asarray(self.scale, dtype))

    @cached_property
    def _levels(self) -> npt.NDArray[np.float64]:
        """The values of all pixels, (channels, 256)."""
        mean, std = np.asarray(self.mean or 0.0), np.asarray(self.std or 1.0)
        levels = (np.arange(256.0)[:, None] * self.scale - mean) / std
        return np.ascontiguousarray(np.broadcast_to(levels, (256, self.channels)).T)

    @model_validator(mode="after")
    def _one_for_each_channel(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} numbers for images with {self.channels} channels")
        return self
