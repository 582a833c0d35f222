"""Orientation of an image as recorded by the camera (EXIF): it is scored the way up that people see it."""

from __future__ import annotations

import struct

from harmgauge.bundle.rows import Rows

UPRIGHT = 1

_TAG = 0x0112
_SHORT = 3
_MOST_ENTRIES = 5461
"""The most that fit into a JPEG segment."""


def read_orientation(exif: bytes) -> int:
    """Read the orientation, 1 to 8, from an EXIF block that begins with a TIFF header; `UPRIGHT` if there is none or
    the block is broken, as in browsers.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for index in range(min(entries, _MOST_ENTRIES)):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIHxx", exif, directory + 2 + 12 * index)
            if tag == _TAG:
                return value if kind == _SHORT and count == 1 and 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT


def turns_on_its_side(orientation: int) -> bool:
    """Whether width and height are swapped."""
    return orientation > 4


def turned(pixels: Rows, orientation: int) -> Rows:
    """Pixels (height, width, ...) rotated for display; a view."""
    if turns_on_its_side(orientation):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
