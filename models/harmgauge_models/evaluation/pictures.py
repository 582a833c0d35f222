"""The labelled images on which a bundle is judged, and their conversion to its instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data import cifar10, image_folder
from harmgauge_models.data.corruptions import Images
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.labels import classes
from harmgauge_models.evaluation.reading import MIN_ROWS, read_arrays


@dataclass(frozen=True)
class Pictures:
    """`x` (n, height, width, 3) uint8, labels `y` (n,) int64, and the `other` arrays of the file."""

    x: Images
    y: npt.NDArray[np.int64]
    other: dict[str, Array] = field(default_factory=dict)


def are_served(manifest: Manifest) -> bool:
    """Whether the bundle accepts 8-bit colour images, for which the benchmark of corruptions is made."""
    return not manifest.is_named and manifest.input.image is not None and manifest.input.image.mode == "RGB"


def read(path: Path, manifest: Manifest) -> Pictures:
    """Read a folder with a subfolder of images for each class, CIFAR-10's test images from a folder or its archive,
    or an `.npz` file with x (in the bundle's layout) and y.

    The bundle must accept colour images. Raises UserError if the data are unsuitable for it.
    """
    if path.is_dir() and not any(path.glob("*.bin")) and not any(path.glob("*/*.bin")):
        return _image_folder(path, manifest)
    if path.suffix != ".npz":
        test = cifar10.load_test(path)
        height, width = test.x.shape[1:3]
        if manifest.input.image_size != (width, height):
            raise UserError(
                f"{path} holds pictures of {width} x {height}; the bundle {manifest.name} accepts "
                f"{manifest.input.image_size[0]} x {manifest.input.image_size[1]}: name an .npz file with x and y"
            )
        return Pictures(np.ascontiguousarray(test.x), classes(test.y, manifest.class_names, len(test.x), path), {})
    if not path.is_file():
        raise UserError(f"{path} does not exist: make it with numpy.savez(path, x=images, y=labels)")
    arrays = read_arrays(path)
    if "x" not in arrays:
        raise UserError(f"{path} holds no images: make it with numpy.savez({path.name!r}, x=images, y=labels)")
    if "y" not in arrays:
        raise UserError(f"{path} holds no labels: make it with numpy.savez({path.name!r}, x=images, y=labels)")
    x = as_pixels(arrays.pop("x"), f"{path}: x", manifest)
    if len(x) < MIN_ROWS:
        raise UserError(f"{path} holds {len(x)} pictures; expected at least {MIN_ROWS}")
    return Pictures(x, classes(arrays.pop("y"), manifest.class_names, len(x), path), arrays)


def _image_folder(path: Path, manifest: Manifest) -> Pictures:
    spec = manifest.input.image
    assert spec is not None
    found = image_folder.read(path, spec, manifest.input.image_size)
    if found.names is None:
        raise UserError(f"{path} has no subfolders: expected one for each class, with its images")
    if len(found.pixels) < MIN_ROWS:
        raise UserError(f"{path} holds {len(found.pixels)} pictures; expected at least {MIN_ROWS}")
    return Pictures(found.pixels, classes(found.names, manifest.class_names, len(found.pixels), path))


def as_pixels(given: Array, what: str, manifest: Manifest) -> Images:
    """Convert images in the bundle's layout to (n, height, width, 3). Raises UserError."""
    assert manifest.input.image is not None
    if given.dtype != np.uint8 or given.shape[1:] != manifest.input.shape:
        raise UserError(
            f"{what} is {given.dtype} {given.shape}; expected 8-bit pictures, uint8 "
            f"(n, {', '.join(map(str, manifest.input.shape))}) for this bundle"
        )
    return np.ascontiguousarray(given if manifest.input.image.layout == "HWC" else given.transpose(0, 2, 3, 1))


def instances(x: Images, spec: InputSpec) -> npt.NDArray[Any]:
    """Convert images to the bundle's input form: reorder the axes, scale the values, convert to its dtype."""
    return np.ascontiguousarray(spec.from_pixels(x), dtype=spec.numpy_dtype)
