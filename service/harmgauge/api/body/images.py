"""An instance from a PNG or JPEG picture."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from harmgauge.api.body.arrays import conform
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import TooLarge, Unprocessable, Unreadable

# Pillow warns of what is odd in a file: of strangers' files, in as many words as they like, each of them kept for ever.
warnings.filterwarnings("ignore", module=r"PIL\.")

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"}

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}

_OVERHEAD_BYTES = 64 * 2**10
"""What a picture may take beyond twice its pixels' bytes."""


def read_image(body: bytes, file_format: str, spec: InputSpec) -> Rows:
    """One picture of exactly the input's size as (1, *shape); `file_format` is Pillow's name for it.

    Transparency is dropped, palettes and greys become the bundle's mode. The size is read from the header, so that a
    small file that unpacks to a huge picture is refused before it is unpacked. Raises TooLarge, Unprocessable or
    Unreadable.
    """
    assert spec.image is not None
    most_bytes = 2 * 4 * spec.row_size + _OVERHEAD_BYTES
    if len(body) > most_bytes:
        raise TooLarge(f"The picture has {len(body)} bytes; one of this size needs at most {most_bytes}.")
    if file_format == "PNG":
        body = _essential(body)
    try:
        picture = Image.open(io.BytesIO(body), formats=[file_format])
        if picture.size != spec.image_size:
            raise Unprocessable(f"The picture has {_by(picture.size)} pixels; {_by(spec.image_size)} are due.")
        if picture.mode not in _EIGHT_BIT_MODES:
            raise Unprocessable(f"The picture has the mode {picture.mode}; 8 bits a channel are due.")
        pixels = np.asarray(picture.convert(spec.image.mode))
    except Unprocessable:
        raise
    except UnidentifiedImageError:
        raise Unreadable(f"The body is no {file_format} picture.") from None
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        raise Unreadable(f"The {file_format} picture cannot be decoded: {error}.") from None
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return conform(spec.from_pixels(pixels[None]), spec)


def _essential(png: bytes) -> bytes:
    """The chunks that make the pixels. The others (profiles, texts) may unpack to a thousand times their size."""
    if not png.startswith(_PNG_SIGNATURE):
        raise Unreadable("The body is no PNG picture.")
    kept, position = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while position + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        end = position + 12 + length
        if kind == b"IHDR" and png[position + 16 : position + 17] == b"\x10":
            raise Unprocessable("The picture has 16 bits a channel; 8 are due.")
        if kind in _PNG_CHUNKS:
            kept.append(png[position:end])
        position = end
    return b"".join(kept)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
