"""The inspector of each format that the service accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from PIL import Image

from harmgauge.bundle.image_files.jpeg import read_jpeg
from harmgauge.bundle.image_files.png import read_png
from harmgauge.bundle.image_files.webp import read_webp


class Inspected(Protocol):
    """A file whose size and cost are known, but which is not decoded yet.

    `essential` is the file without what does not affect pixels; `size` is its stored width and height. `orientation` is
    the EXIF block's, 1 to 8: XMP is ignored, as browsers do.
    """

    @property
    def essential(self) -> bytes: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def orientation(self) -> int: ...
    def is_opaque(self, picture: Image.Image, /) -> bool: ...


INSPECT: dict[str, Callable[[bytes], Inspected]] = {"JPEG": read_jpeg, "PNG": read_png, "WEBP": read_webp}
"""By Pillow's name for the format. Each raises Unreadable or Unprocessable for files that it refuses."""


def served_format(content: bytes) -> str | None:
    """Pillow's name for the format of a file, by its first bytes; None for formats that the service does not accept."""
    if content.startswith(b"\xff\xd8"):
        return "JPEG"
    if content.startswith(b"\x89PNG"):
        return "PNG"
    return "WEBP" if content.startswith(b"RIFF") and content[8:12] == b"WEBP" else None
