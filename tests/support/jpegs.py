"""Splits and reassembles JPEG files."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

SCAN = 0xDA


def noise(size: int) -> npt.NDArray[np.uint8]:
    """Pixels (size, size, 3) that compress poorly."""
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


def encoded(pixels: npt.NDArray[np.uint8], **options: object) -> bytes:
    stream = io.BytesIO()
    before, ImageFile.MAXBLOCK = ImageFile.MAXBLOCK, 2**24  # otherwise Pillow cannot write large progressive files
    try:
        Image.fromarray(pixels).save(stream, "JPEG", **options)
    finally:
        ImageFile.MAXBLOCK = before
    return stream.getvalue()


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """The segments of a file that Pillow wrote, without start and end: (marker, all bytes, including a scan's data)."""
    found, at = [], 2
    while (marker := jpeg[at + 1]) != 0xD9:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        while marker == SCAN and not (jpeg[end] == 0xFF and jpeg[end + 1] not in (0, *range(0xD0, 0xD8))):
            end += 1
        found.append((marker, jpeg[at:end]))
        at = end
    return found


def joined(parts: list[bytes]) -> bytes:
    return b"".join([b"\xff\xd8", *parts, b"\xff\xd9"])


def with_scans(pixels: npt.NDArray[np.uint8], scans: int, *, long: bool = False) -> bytes:
    """The progressive file of these pixels, with its shortest or longest scan of AC coefficients repeated."""
    parts = segments(encoded(pixels, progressive=True))
    kinds = [marker for marker, _ in parts]
    candidates = [
        (len(part), index)
        for index, (marker, part) in enumerate(parts)
        if marker == SCAN and part[5 + 2 * part[4]] > 0  # the start of its coefficients
    ]
    _, index = (max if long else min)(candidates)
    again = [parts[index][1]] * (scans - kinds.count(SCAN))
    whole = [part for _, part in parts]
    return joined(whole[:index] + again + whole[index:])
