"""Reads an instance from a PNG or JPEG image."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from harmgauge.api.body.arrays import conform
from harmgauge.api.body.jpeg import read_jpeg
from harmgauge.api.body.orientation import turned, turns_on_its_side
from harmgauge.api.body.png import Png, read_png
from harmgauge.api.waiting import Check, patient
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import CallerLeft, RequestError, TooLarge, Unprocessable, Unreadable

# Pillow warns about oddities in a file. Untrusted files can cause any number of different warnings, and Python keeps
# each one for ever.
warnings.filterwarnings("ignore", module=r"PIL\.")

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}

_OVERHEAD_BYTES = 64 * 2**10
"""Memory that decoding an image may take beyond twice the bytes of its pixels."""


def read_image(body: bytes, file_format: str, spec: InputSpec, check: Check = patient) -> Rows:
    """Read one image of exactly the input's size as (1, *shape); `file_format` is Pillow's name for it.

    The image is rotated according to its EXIF block; palettes and greyscale are converted to the bundle's mode. Size
    and cost are determined before anything is decompressed. `check` is called between pieces, and its exceptions end
    the work. Raises TooLarge, Unprocessable or Unreadable.
    """
    assert spec.image is not None
    most_bytes = 2 * 4 * spec.row_size + _OVERHEAD_BYTES
    if len(body) > most_bytes:
        raise TooLarge(f"The image has {len(body)} bytes; expected at most {most_bytes} for its size in pixels.")
    found = read_png(body) if file_format == "PNG" else read_jpeg(body)
    size = found.size[::-1] if turns_on_its_side(found.orientation) else found.size
    if size != spec.image_size:
        as_turned = " after its EXIF orientation is applied" if size != found.size else ""
        raise Unprocessable(f"The image has {_by(size)} pixels{as_turned}; expected {_by(spec.image_size)}.")
    try:
        # Pillow reads a header byte by byte: checking at each read would take a tenth of a small image's time.
        file = io.BytesIO(found.essential) if check is patient else _Watched(found.essential, check)
        picture = Image.open(file, formats=[file_format])
        if picture.mode not in _EIGHT_BIT_MODES:
            raise Unprocessable(f"The image has mode {picture.mode}; expected 8 bits per channel.")
        picture.load()
        if isinstance(found, Png) and not found.is_opaque(picture):
            raise Unprocessable(
                "The image has transparent pixels, whose colour depends on the background; draw it on a background and "
                "save it without transparency."
            )
        pixels = np.asarray(picture.convert(spec.image.mode))
    except (RequestError, CallerLeft):
        raise
    except UnidentifiedImageError:
        raise Unreadable(f"The body is not a {file_format} image.") from None
    except Exception as error:  # Pillow's decoders raise all kinds of errors for broken files
        raise Unreadable(f"The {file_format} image cannot be decoded: {error}.") from None
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return conform(spec.from_pixels(turned(pixels, found.orientation)[None]), spec)


class _Watched(io.BytesIO):
    """A file that calls `check` whenever Pillow reads from it: once for every 64 KB that it decodes."""

    def __init__(self, data: bytes, check: Check) -> None:
        super().__init__(data)
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return super().read(size)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
