"""Brings images of any size to that of the input, for the service and for `build`: the same code, the same pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.orientation import turned, turns_on_its_side

Size = tuple[int, int]
"""Width and height in pixels."""

_FILTERS = {
    None: Image.Resampling.BILINEAR,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def resized_size(size: Size, resize: int | None) -> Size:
    """The size after the shorter side is resized to `resize` pixels; the other is rounded down, as in torchvision."""
    width, height = size
    if resize is None:
        return size
    if width <= height:
        return resize, int(resize * height / width)
    return int(resize * width / height), resize


def prepared_size(size: Size, spec: ImageSpec) -> Size:
    """The size of an image of `size`, turned upright, after preparation. Smaller than the crop if it has no room."""
    resized = resized_size(size, spec.resize)
    if spec.crop_size is None:
        return resized
    return min(resized[0], spec.crop_size[0]), min(resized[1], spec.crop_size[1])


def prepared(picture: Image.Image, orientation: int, spec: ImageSpec) -> npt.NDArray[np.uint8]:
    """Convert to the mode, turn upright, resize and crop: pixels (height, width, channels).

    They equal those of Pillow's `convert`, `exif_transpose`, `resize` and `crop`, in this order. Mirroring is left for
    the small image, because it commutes with resizing. Swapping the axes does not: Pillow rounds between the two.
    """
    if picture.mode != spec.mode:
        picture = picture.convert(spec.mode)
    if spec.resize is not None:
        if turns_on_its_side(orientation):
            picture = picture.transpose(Image.Transpose.TRANSPOSE)
            orientation -= 4  # what is left to do
        picture = picture.resize(resized_size(picture.size, spec.resize), _FILTERS[spec.filter])
    pixels = np.asarray(picture)
    pixels = turned(pixels[:, :, None] if pixels.ndim == 2 else pixels, orientation)
    return _cropped(pixels, spec.crop_size)


def _cropped(pixels: npt.NDArray[np.uint8], size: Size | None) -> npt.NDArray[np.uint8]:
    """The middle of the image. Half a pixel is rounded to the even one, as in torchvision."""
    if size is None:
        return pixels
    height, width = pixels.shape[:2]
    left, top = max(0, round((width - size[0]) / 2)), max(0, round((height - size[1]) / 2))
    return pixels[top : top + size[1], left : left + size[0]]
