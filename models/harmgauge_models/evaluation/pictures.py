"""The labelled pictures that judge a bundle, and how they become its instances."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.served_input import ImageSpec, InputSpec
from harmgauge_models.data import cifar10, npz_rows
from harmgauge_models.data.corruptions import Images
from harmgauge_models.errors import UserError

MIN_ROWS = 200
"""Fewer tell nothing, by severity and by kind."""


@dataclass(frozen=True)
class Pictures:
    """`x` (n, height, width, 3) uint8 and labels `y` (n,) int64."""

    x: Images
    y: npt.NDArray[np.int64]


def read(path: Path, manifest: Manifest) -> Pictures:
    """CIFAR-10's test images from a folder or its archive, or an `.npz` file with x (in the bundle's layout) and y.

    Raises UserError where the bundle takes no 8-bit colour pictures, or where the data are not for it.
    """
    image = _image_spec(manifest)
    if path.suffix == ".npz":
        rows = npz_rows.read(path, "test", MIN_ROWS)
        if rows.y is None:
            raise UserError(f"{path} holds no labels: numpy.savez({path.name!r}, x=images, y=labels)")
        x, y = rows.x, rows.y
        if x.dtype != np.uint8 or x.shape[1:] != manifest.input.shape:
            raise UserError(
                f"{path}: x is {x.dtype} {x.shape}; corruptions are made of 8-bit pictures, uint8 "
                f"(n, {', '.join(map(str, manifest.input.shape))}) for this bundle"
            )
        x = x if image.layout == "HWC" else x.transpose(0, 2, 3, 1)
    else:
        test = cifar10.load_test(path)
        x, y = test.x, test.y
        height, width = x.shape[1:3]
        if manifest.input.image_size != (width, height):
            raise UserError(
                f"{path} holds pictures of {width} x {height}; the bundle {manifest.name} takes "
                f"{manifest.input.image_size[0]} x {manifest.input.image_size[1]}: name an .npz file with x and y"
            )
    classes = len(manifest.class_names)
    if y.min() < 0 or y.max() >= classes:
        raise UserError(
            f"{path} holds labels from {y.min()} to {y.max()}; the bundle has the classes 0 to {classes - 1}: give the "
            "labels in the order of its class names"
        )
    return Pictures(np.ascontiguousarray(x), y)


def instances(x: Images, spec: InputSpec) -> npt.NDArray[Any]:
    """Pictures as the bundle takes them: axes put in order, values scaled, its dtype."""
    return np.ascontiguousarray(spec.from_pixels(x), dtype=spec.numpy_dtype)


def _image_spec(manifest: Manifest) -> ImageSpec:
    image = manifest.input.image
    if image is None or image.mode != "RGB":
        kind = f"{manifest.input.dtype} {manifest.input.shape}" if image is None else "pictures in greys"
        raise UserError(
            f"the bundle {manifest.name} takes {kind}: the corruptions are those of colour pictures of 8 bits a "
            "channel, so only bundles of such pictures can be evaluated"
        )
    return image
