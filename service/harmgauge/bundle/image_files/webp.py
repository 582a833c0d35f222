"""Inspects a WebP file without decoding it."""

from __future__ import annotations

import struct
from typing import NamedTuple

from PIL import Image

from harmgauge.bundle.orientation import UPRIGHT, read_orientation
from harmgauge.errors import Unprocessable, Unreadable

MAX_CHUNKS = 64
"""A still image has up to seven; encoders add few of their own."""

_HEAD_BYTES = 12
_CHUNK = struct.Struct("<4sI")

_ANIMATION, _ALPHA = 0x02, 0x10
"""Flags of VP8X."""

_VP8_START = b"\x9d\x01\x2a"
_VP8L_START = b"\x2f"
_SIDE = 0x3FFF


class Webp(NamedTuple):
    """A parsed WebP file: `essential` is the file without the chunks that do not affect pixels; `size` is its stored
    width and height.
    """

    essential: bytes
    size: tuple[int, int]
    orientation: int

    def is_opaque(self, picture: Image.Image) -> bool:
        """Whether the image decoded from `essential` is opaque."""
        return picture.mode != "RGBA" or picture.getchannel("A").getextrema() == (255, 255)


def read_webp(body: bytes) -> Webp:
    """Parse a WebP file. Raises Unreadable if it is not one, Unprocessable if it is animated."""
    if len(body) < _HEAD_BYTES or body[:4] != b"RIFF" or body[8:12] != b"WEBP":
        raise Unreadable("The body is not a WebP image.")
    found: dict[bytes, bytes] = {}
    padding: dict[bytes, bytes] = {}  # decoders of broken frames read it
    position = _HEAD_BYTES
    for _ in range(MAX_CHUNKS):
        if position + _CHUNK.size > len(body):
            break
        kind, length = _CHUNK.unpack_from(body, position)
        begin, end = position + _CHUNK.size, position + _CHUNK.size + length
        if kind in (b"ANIM", b"ANMF"):
            raise _animated()
        if kind in (b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"EXIF"):
            if kind in found:
                raise _broken(f"it has two {kind.decode().strip()} chunks")
            found[kind], padding[kind] = body[begin:end], body[end : end + length % 2]
        position = end + length % 2
    else:
        raise Unprocessable(f"The WebP image has more than {MAX_CHUNKS} chunks; save it with a common image editor.")
    size = _frame_size(found)
    extended = found.get(b"VP8X")
    if extended is not None:
        if len(extended) < 10:
            raise _broken("its header is truncated")
        if extended[0] & _ANIMATION:
            raise _animated()
        canvas = 1 + int.from_bytes(extended[4:7], "little"), 1 + int.from_bytes(extended[7:10], "little")
        if canvas != size:
            raise _broken(f"its canvas has {canvas[0]} x {canvas[1]} pixels, but its frame {size[0]} x {size[1]}")
        found[b"VP8X"] = bytes([extended[0] & _ALPHA]) + extended[1:10]
    kept = [(kind, found[kind]) for kind in (b"VP8X", b"ALPH", b"VP8 ", b"VP8L") if kind in found]
    data = b"".join(part for kind, content in kept for part in _chunk(kind, content, padding[kind]))
    exif = found.get(b"EXIF")
    orientation = UPRIGHT if exif is None else read_orientation(exif.removeprefix(b"Exif\0\0"))
    return Webp(b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WEBP" + data, size, orientation)


def _frame_size(found: dict[bytes, bytes]) -> tuple[int, int]:
    """Width and height of the only frame, lossy or lossless."""
    if (b"VP8 " in found) == (b"VP8L" in found):
        raise _broken("it has no frame" if b"VP8 " not in found else "it has two frames")
    if (frame := found.get(b"VP8 ")) is not None:
        if len(frame) < 10 or frame[3:6] != _VP8_START:
            raise _broken("its frame header is invalid")
        width, height = struct.unpack_from("<HH", frame, 6)
        return width & _SIDE, height & _SIDE
    frame = found[b"VP8L"]
    if len(frame) < 5 or not frame.startswith(_VP8L_START):
        raise _broken("its frame header is invalid")
    bits = int.from_bytes(frame[1:5], "little")
    return 1 + (bits & _SIDE), 1 + (bits >> 14 & _SIDE)


def _chunk(kind: bytes, content: bytes, padding: bytes) -> tuple[bytes, bytes, bytes]:
    return _CHUNK.pack(kind, len(content)), content, padding if len(content) % 2 else b""


def _animated() -> Unprocessable:
    return Unprocessable("The WebP image is animated; send one frame as a still image.")


def _broken(why: str) -> Unreadable:
    return Unreadable(f"The WebP image cannot be decoded: {why}.")
