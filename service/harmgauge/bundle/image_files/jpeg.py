"""Inspects a JPEG file without decoding it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from harmgauge.bundle.orientation import UPRIGHT, read_orientation
from harmgauge.errors import Unprocessable, Unreadable

MAX_SCANS = 64
"""Each scan may take as long as a whole baseline image. Progressive files have 10 to 16."""

MAX_SEGMENTS = 512
"""Segments of all kinds: each takes Pillow a few microseconds. Scans have up to 5 each, profiles and previews a few
dozen.
"""

_START = b"\xff\xd8"
_FRAMES = {0xC0, 0xC1, 0xC2}
"""Baseline, extended and progressive: the frames that browsers can decode."""
_OTHER_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _END_OF_IMAGE, _EXIF = 0xDA, 0xD9, 0xE1
_ESSENTIAL = {*_FRAMES, _SCAN, _END_OF_IMAGE, 0xC4, 0xDB, 0xDD, 0xE0, 0xEE}
"""The last five are tables, the restart interval, and the marker that defines the colour transform."""
_EXIF_NAME = b"Exif\0\0"

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
"""Markers other than restarts, which are part of a scan. Decoders skip any bytes between segments."""
_WINDOW_BYTES = 64 * 2**10
"""Bytes searched at a time; other threads wait meanwhile."""
_FILL = b"\xff" * 64
"""Fill bytes, of which any number may precede a marker. Encoders write none, and libjpeg rescans them with each piece
of data.
"""

_SAVE = "save it as a baseline or progressive JPEG"


class Jpeg(NamedTuple):
    """A parsed JPEG file: `essential` is the file without the segments that do not affect pixels; `size` is its stored
    width and height.
    """

    essential: bytes
    size: tuple[int, int]
    orientation: int

    def is_opaque(self, _: Image.Image) -> bool:
        """JPEG has no transparency."""
        return True


def read_jpeg(body: bytes) -> Jpeg:
    """Parse a JPEG file. Raises Unreadable if it is not one, Unprocessable if it would take very long to decode."""
    if not body.startswith(_START):
        raise Unreadable("The body is not a JPEG image.")
    kept: list[bytes | memoryview] = [_START]
    whole, scans = memoryview(body), 0
    size: tuple[int, int] | None = None
    orientation: int | None = None
    for marker, begin, content, end in _segments(body):
        if marker in _FRAMES:
            if size is not None:
                raise Unreadable("The JPEG image cannot be decoded: it has two frames.")
            size = _size(body[content:end])
        elif marker in _OTHER_FRAMES:
            raise Unprocessable(
                f"The JPEG image is encoded as SOF{marker - 0xC0}, which browsers cannot read; {_SAVE}."
            )
        elif marker == _SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise _too_complex("scans", MAX_SCANS)
        elif marker == _EXIF and orientation is None and body.startswith(_EXIF_NAME, content):
            orientation = read_orientation(body[content + len(_EXIF_NAME) : end])
        if marker in _ESSENTIAL:
            kept.append(whole[begin:end])
    if size is None:
        raise Unreadable("The JPEG image cannot be decoded: it has no frame.")
    return Jpeg(b"".join(kept), size, orientation or UPRIGHT)


def _segments(body: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (marker, start, start of the content after the length, end) of each segment, as decoders see them.

    A scan ends at the next marker. Raises Unprocessable if there are too many segments.
    """
    found = _next_marker(body, len(_START))
    for _ in range(MAX_SEGMENTS):
        if found is None:
            return
        marker, begin, end = found[1][0], found.start(), found.end()
        content = end
        if marker >= 0xC0 and marker != _END_OF_IMAGE:
            content += 2
            end += max(2, int.from_bytes(body[end:content]))
        found = None if marker == _END_OF_IMAGE else _next_marker(body, end)
        if marker == _SCAN:
            end = len(body) if found is None else found.start()
        yield marker, begin, content, end
    if found is not None:
        raise _too_complex("segments", MAX_SEGMENTS)


def _next_marker(body: bytes, position: int) -> re.Match[bytes] | None:
    while position < len(body):
        stop = position + _WINDOW_BYTES
        found = _MARKER.search(body, position, stop + 1)
        end = stop + len(_FILL) if found is None else found.start()
        if end - position >= len(_FILL) and body.find(_FILL, position, end) >= 0:
            raise Unprocessable(f"The JPEG image is padded with long runs of FF bytes; {_SAVE}.")
        if found is not None:
            return found
        position = stop
    return None


def _size(frame: bytes) -> tuple[int, int]:
    if len(frame) < 6:
        raise Unreadable("The JPEG image cannot be decoded: its frame header is truncated.")
    if frame[0] != 8:
        raise Unprocessable(f"The image has {frame[0]} bits per channel; expected 8.")
    return int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])


def _too_complex(what: str, most: int) -> Unprocessable:
    return Unprocessable(f"The JPEG image has more than {most} {what}; {_SAVE} with a common image editor.")
