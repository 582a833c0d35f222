"""Reads one image."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from harmgauge.api.body.arrays import conform
from harmgauge.api.body.picture_room import PictureRoom
from harmgauge.api.waiting import Check, patient
from harmgauge.bundle.image_files.inspect import INSPECT, Inspected
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.orientation import turns_on_its_side
from harmgauge.bundle.resizing import Size, prepared, prepared_size, resized_size
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import CallerLeft, RequestError, TooLarge, Unprocessable, Unreadable

# Pillow warns about oddities in a file. Untrusted files can cause any number of different warnings, and Python keeps
# each one for ever.
warnings.filterwarnings("ignore", module=r"PIL\.")

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}

_OVERHEAD_BYTES = 64 * 2**10
"""Memory that decoding an image may take beyond twice the bytes of its pixels."""


def read_image(
    body: bytes, file_format: str, spec: InputSpec, check: Check = patient, room: PictureRoom | None = None
) -> Rows:
    """Read one image as (1, *shape); `file_format` is Pillow's name for it.

    The image is rotated according to its EXIF block; palettes and greyscale are converted to the bundle's mode. If the
    bundle resizes images, the image may have any size that fits into `room`, which is held while it is decoded;
    otherwise its size must be the input's. Size and cost are determined before anything is decompressed. `check` is
    called between pieces, and its exceptions end the work. Raises TooLarge, Unprocessable or Unreadable.
    """
    assert spec.image is not None
    if not spec.image.resizes:
        _check_bytes(len(body), spec.row_size)
    found = INSPECT[file_format](body)
    pixels = found.size[0] * found.size[1]
    if spec.image.resizes:
        if room is not None and pixels > room.most_pixels:
            raise TooLarge(
                f"The image has {_by(found.size)} pixels; expected at most {room.most_pixels} in all "
                "(HARMGAUGE_MAX_IMAGE_PIXELS): send it smaller."
            )
        _check_bytes(len(body), 3 * pixels)
    resized = _check_size(found, spec, room)
    if room is None:
        rows = _decoded(found, file_format, spec.image, check)
    else:
        with room.taken(min(max(pixels, resized), room.most_pixels), check):
            rows = _decoded(found, file_format, spec.image, check)
    return conform(spec.from_pixels(rows[None]), spec)


def _check_bytes(body_bytes: int, numbers: int) -> None:
    most_bytes = 2 * 4 * numbers + _OVERHEAD_BYTES
    if body_bytes > most_bytes:
        raise TooLarge(f"The image has {body_bytes} bytes; expected at most {most_bytes} for its size in pixels.")


def _check_size(found: Inspected, spec: InputSpec, room: PictureRoom | None) -> int:
    """The number of pixels after resizing. Raises Unprocessable, which describes what the bundle takes, unless
    preparation gives the input's size.
    """
    assert spec.image is not None
    stored, image, expected = found.size, spec.image, spec.image_size
    if 0 in stored:
        raise Unreadable("The image has no pixels.")
    size = stored[::-1] if turns_on_its_side(found.orientation) else stored
    as_turned = " after its EXIF orientation is applied" if size != stored else ""
    if prepared_size(size, image) != expected:
        if image.resize is not None:
            so_far = f"{_by(resized_size(size, image.resize))} after its shorter side is resized to {image.resize}"
            remedy = "send one of other proportions"
        elif image.crop is not None:
            so_far, remedy = "", "send a larger one"
        else:
            so_far = ""
            remedy = "resize it, or serve a bundle built with --resize and --crop, which takes any size"
        middle = f", {so_far}" if so_far else ""
        least = "at least " if image.resizes else ""
        raise Unprocessable(
            f"The image has {_by(size)} pixels{as_turned}{middle}; expected {least}{_by(expected)}: {remedy}."
        )
    resized = resized_size(size, image.resize)
    pixels = resized[0] * resized[1]
    if room is not None and pixels > max(room.most_pixels, expected[0] * expected[1]):
        raise Unprocessable(
            f"The image has {_by(size)} pixels{as_turned}, {_by(resized)} after its shorter side is resized to "
            f"{image.resize}: crop it to less extreme proportions."
        )
    return pixels


def _decoded(found: Inspected, file_format: str, image: ImageSpec, check: Check) -> npt.NDArray[np.uint8]:
    """Pixels (height, width, channels), prepared."""
    try:
        # Pillow reads a header byte by byte: checking at each read would take a tenth of a small image's time.
        file = io.BytesIO(found.essential) if check is patient else _Watched(found.essential, check)
        picture = Image.open(file, formats=[file_format])
        if picture.mode not in _EIGHT_BIT_MODES:
            raise Unprocessable(f"The image has mode {picture.mode}; expected 8 bits per channel.")
        picture.load()
        check()
        if not found.is_opaque(picture):
            raise Unprocessable(
                "The image has transparent pixels, whose colour depends on the background; draw it on a background and "
                "save it without transparency."
            )
        return prepared(picture, found.orientation, image)
    except (RequestError, CallerLeft):
        raise
    except UnidentifiedImageError:
        raise Unreadable(f"The body is not a {file_format} image.") from None
    except Exception as error:  # Pillow's decoders raise all kinds of errors for broken files
        raise Unreadable(f"The {file_format} image cannot be decoded: {error}.") from None


class _Watched(io.BytesIO):
    """A file that calls `check` whenever Pillow reads from it: once for every 64 KB that it decodes."""

    def __init__(self, data: bytes, check: Check) -> None:
        super().__init__(data)
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return super().read(size)


def _by(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
