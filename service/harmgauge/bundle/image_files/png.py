"""Inspects a PNG file without decompressing it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from harmgauge.bundle.orientation import read_orientation
from harmgauge.errors import Unprocessable, Unreadable

MIN_CHUNKS = 4096
"""Allowed in any file, however small: enough for one chunk per row from an encoder that streams the image."""

CHUNK_BYTES = 1024
"""Larger files may have one chunk per this many bytes. Most encoders write several kilobytes into each."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_BYTES = len(_SIGNATURE) + 12 + 13
_HEADER = struct.Struct(">I4sIIBBBBBI")

_ONCE = {b"PLTE", b"tRNS", b"eXIf"}

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}


class Png(NamedTuple):
    """A parsed PNG file: `essential` is the file without the chunks that do not affect pixels; `size` is its stored
    width and height.
    """

    essential: bytes
    size: tuple[int, int]
    orientation: int
    bits: int
    colour: int
    transparency: bytes | None

    def is_opaque(self, picture: Image.Image) -> bool:
        """Whether the image decoded from `essential`, in Pillow's mode, is opaque."""
        if self.colour in (_GREY_ALPHA, _RGBA):
            return picture.getchannel("A").getextrema() == (255, 255)
        if self.transparency is None:
            return True
        if self.colour == _PALETTE:
            alpha = np.full(256, 255, np.uint8)
            alpha[: len(self.transparency)] = np.frombuffer(self.transparency, np.uint8)
            return bool((alpha[np.asarray(picture)] == 255).all())
        # One colour is transparent: a number for each channel, at the file's bit depth.
        values = [sample * 255 // (2**self.bits - 1) for (sample,) in struct.iter_unpack(">H", self.transparency)]
        channels = np.atleast_3d(np.asarray(picture.convert("L" if self.colour == _GREY else "RGB"))).transpose(2, 0, 1)
        matches = [channel == value for channel, value in zip(channels, values, strict=True)]
        return not np.logical_and.reduce(matches).any()


def read_png(body: bytes) -> Png:
    """Parse a PNG file. Raises Unreadable if it is not one, Unprocessable if it has 16 bits per channel or an absurd
    compressed size.
    """
    if not body.startswith(_SIGNATURE):
        raise Unreadable("The body is not a PNG image.")
    if len(body) < _HEADER_BYTES or body[12:16] != b"IHDR":
        raise Unreadable("The PNG image cannot be decoded: it does not begin with a header.")
    length, _, width, height, bits, colour, *_ = _HEADER.unpack_from(body, len(_SIGNATURE))
    if length != 13 or colour not in _CHANNELS:
        raise Unreadable("The PNG image cannot be decoded: its header is invalid.")
    if bits == 16:
        raise Unprocessable("The image has 16 bits per channel; expected 8.")
    once: dict[bytes, bytes] = {}
    data: list[memoryview] = []
    position, chunks_left = _HEADER_BYTES, max(MIN_CHUNKS, len(body) // CHUNK_BYTES)
    while position + 8 <= len(body):
        length, kind = struct.unpack_from(">I4s", body, position)
        end = position + 12 + length
        if kind == b"IDAT":
            data.append(memoryview(body)[position + 8 : end - 4])
        elif kind == b"IEND":
            break
        elif kind in _ONCE:
            if kind in once:
                raise Unreadable(f"The PNG image cannot be decoded: it has two {kind.decode()} chunks.")
            if kind == b"eXIf" or not data:
                once[kind] = body[position:end]
        position = end
        chunks_left -= 1
        if chunks_left < 0:
            raise Unprocessable("The PNG image has too many chunks for its size; save it with a common image editor.")
    _check_packed(sum(map(len, data)), width, height, bits * _CHANNELS[colour])
    transparency = once.get(b"tRNS", b"")[8:-4] or None
    if transparency is not None and len(transparency) != {_GREY: 2, _RGB: 6}.get(colour, len(transparency)):
        raise Unreadable("The PNG image cannot be decoded: its transparency is invalid.")
    pieces = [body[:_HEADER_BYTES], once.get(b"PLTE", b""), *_chunk(b"IDAT", data), *_chunk(b"IEND", [])]
    exif = once.get(b"eXIf", b"")[8:-4].removeprefix(b"Exif\0\0")
    return Png(b"".join(pieces), (width, height), read_orientation(exif), bits, colour, transparency)


def _chunk(kind: bytes, data: list[memoryview]) -> Iterator[bytes | memoryview]:
    """Serialise a chunk in pieces, so that its data is copied only once."""
    yield struct.pack(">I", sum(map(len, data)))
    checksum = zlib.crc32(kind)
    yield kind
    for piece in data:
        checksum = zlib.crc32(piece, checksum)
        yield piece
    yield struct.pack(">I", checksum)


def _check_packed(packed_bytes: int, width: int, height: int, bits_per_pixel: int) -> None:
    """Refuse compressed data larger than the pixels: no encoder produces it, and it would be mostly empty blocks."""
    plain_bytes = height * (2 + (width * bits_per_pixel + 7) // 8)
    most_bytes = plain_bytes * 9 // 8 + 1024
    if packed_bytes > most_bytes:
        raise Unprocessable(
            f"The PNG image has {packed_bytes} bytes of compressed pixels for {plain_bytes} bytes uncompressed; save "
            "it with a common image editor."
        )
