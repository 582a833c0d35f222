"""Converts images between a classifier's input form and pixels in 0..1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.part import Dtype
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec

Layout = Literal["HWC", "CHW"]


def image_layout(shape: tuple[int, ...]) -> Layout | None:
    """`HWC` or `CHW` for three axes of which one has 1 or 3 channels (the last one, if both do), otherwise None."""
    if len(shape) != 3:
        return None
    if shape[2] in (1, 3):
        return "HWC"
    return "CHW" if shape[0] in (1, 3) else None


def input_spec(x: npt.NDArray[Any], dtype: Dtype) -> InputSpec:
    """The service's input, inferred from normal instances `x` (n, *shape).

    8-bit inputs have the range of their type. Real-valued images that fill 0..1 or 0..255 keep that range and may be
    sent as PNG and JPEG; standardised ones may not, because the standardisation is unknown.
    """
    shape = x.shape[1:]
    layout = image_layout(shape)
    mode: Literal["L", "RGB"] = "RGB" if layout and shape[2 if layout == "HWC" else 0] == 3 else "L"
    if dtype == "uint8":
        image = ImageSpec(mode=mode, layout=layout, scale=1) if layout else None
        return InputSpec(dtype=dtype, shape=shape, minimum=0, maximum=255, image=image)
    if layout and np.dtype(dtype).kind == "f" and x.min() >= 0:
        for maximum in (1.0, 255.0):
            if 0.5 * maximum < x.max() <= maximum:
                image = ImageSpec(mode=mode, layout=layout, scale=maximum / 255)
                return InputSpec(dtype=dtype, shape=shape, minimum=0, maximum=maximum, image=image)
    return InputSpec(dtype=dtype, shape=shape)


@dataclass(frozen=True)
class Pictures:
    """The representation of images in an input: `low` is black, `high` is white, one number or (channels,)."""

    layout: Layout
    low: float | npt.NDArray[np.float32]
    high: float | npt.NDArray[np.float32]
    dtype: np.dtype[Any]

    @property
    def limits(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Black and white, broadcast against rows (n, *shape) of the input."""
        axes = (-1, 1, 1) if self.layout == "CHW" else (-1,)
        low, high = (np.asarray(value, np.float32).reshape(axes) for value in (self.low, self.high))
        return low, high

    def to_pixels(self, x: Array) -> npt.NDArray[np.float32]:
        """Convert (n, *shape) in the input's dtype to (n, height, width, channels)."""
        planes = x.transpose(0, 2, 3, 1) if self.layout == "CHW" else x
        return ((planes.astype(np.float32) - self.low) / (self.high - self.low)).astype(np.float32)

    def from_pixels(self, pixels: npt.NDArray[np.float32]) -> Array:
        """The inverse; rounded to whole numbers if the input has an integer dtype."""
        values = pixels * (self.high - self.low) + self.low
        planes = values.transpose(0, 3, 1, 2) if self.layout == "CHW" else values
        return np.ascontiguousarray(np.rint(planes) if self.dtype.kind in "iu" else planes, self.dtype)


def pictures(x: Array, spec: InputSpec, layout: Layout) -> Pictures:
    """The image representation, with the range of the input if it is known, otherwise that of the normal instances
    `x`.
    """
    if spec.image is not None and spec.image.normalises:
        return Pictures(layout, spec.image.black.astype(np.float32), spec.image.white.astype(np.float32), x.dtype)
    low = float(x.min()) if spec.minimum is None else spec.minimum
    high = float(x.max()) if spec.maximum is None else spec.maximum
    return Pictures(layout, low, max(high, low + 1e-6), x.dtype)
