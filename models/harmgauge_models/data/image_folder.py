"""Reads a folder of image files, one subfolder for each class, prepared as the service prepares them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from harmgauge.bundle.image_files.inspect import INSPECT, served_format
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.orientation import UPRIGHT, turns_on_its_side
from harmgauge.bundle.resizing import Size, prepared, prepared_size
from harmgauge.errors import RequestError
from harmgauge_models.errors import UserError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class ImageFolder:
    """`pixels` (n, height, width, channels), and the name of each image's subfolder (n,); None without subfolders.

    `sha256` is that of all files, with their names.
    """

    pixels: npt.NDArray[np.uint8]
    names: npt.NDArray[np.str_] | None
    sha256: str


def read(folder: Path, spec: ImageSpec, size: Size) -> ImageFolder:
    """Read every image in `folder` and its subfolders, in the order of their names, at `size` after preparation.

    Raises UserError for files that are not images or that the service would refuse, for images that do not have this
    size after preparation, and for images both beside and inside subfolders.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise UserError(f"{folder} holds no images: expected a subfolder of image files for each class")
    classes = [file.relative_to(folder).parts[0] if file.parent != folder else None for file in files]
    named = [name for name in classes if name is not None]
    if named and len(named) < len(files):
        stray = files[classes.index(None)]
        raise UserError(f"{stray} is in no subfolder, but other images are: move it into that of its class")
    pixels = np.empty((len(files), size[1], size[0], spec.channels), np.uint8)
    digest = hashlib.sha256()
    for row, file in enumerate(files):
        of_file = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{of_file}\n".encode())
        pixels[row] = _read(file, spec, size)
    return ImageFolder(pixels, np.array(named) if named else None, digest.hexdigest())


def _read(file: Path, spec: ImageSpec, size: Size) -> npt.NDArray[np.uint8]:
    try:
        picture, orientation = _opened(file.read_bytes())
        upright = picture.size[::-1] if turns_on_its_side(orientation) else picture.size
        if prepared_size(upright, spec) != size:
            wanted = f"at least {size[0]} x {size[1]}" if spec.resizes else f"{size[0]} x {size[1]}"
            raise UserError(
                f"{file} has {upright[0]} x {upright[1]} pixels; expected {wanted}: set --resize (and --crop) as "
                "in the classifier's training"
            )
        picture.load()
        return prepared(picture, orientation, spec)
    except UserError:
        raise
    except RequestError as error:
        raise UserError(f"the service would refuse {file} ({error.detail}): convert it or leave it out") from error
    except Exception as error:  # Pillow's decoders raise all kinds of errors for broken files
        raise UserError(f"{file} is not a readable image ({error}): leave it out") from error


def _opened(content: bytes) -> tuple[Image.Image, int]:
    """The image, not decoded yet, and its orientation: read by the service's code if it accepts the format. Of the
    others, Pillow itself turns TIFF upright, and the rest have no orientation.
    """
    file_format = served_format(content)
    if file_format is None:
        return Image.open(io.BytesIO(content)), UPRIGHT
    found = INSPECT[file_format](content)
    return Image.open(io.BytesIO(found.essential), formats=[file_format]), found.orientation
