"""PNG files, chunk by chunk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, bits: int = 8, colour: int = RGB, interlaced: int = 0) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))


def filtered(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Rows (height, ...), each preceded by the byte of the filter that changes nothing."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def png(
    head: bytes, packed: Sequence[bytes], *, before: Sequence[bytes] = (), between: bytes = b"", behind: bytes = b""
) -> bytes:
    """A PNG with one IDAT chunk for each of `packed`, and complete chunks before, between and after them."""
    return b"".join([head, *before, between.join(chunk(b"IDAT", each) for each in packed), behind, chunk(b"IEND", b"")])


def empty_blocks(size_bytes: int) -> bytes:
    """The beginning of a deflate stream that decompresses to nothing: blocks with their own Huffman code and no data.

    Each takes a few microseconds to read. The stream ends at a byte boundary.
    """
    order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1]
    lengths = [(int(symbol in (1, 18)), 3) for symbol in order]  # one code for "length 1", one for many zeros
    codes = [(1, 1), (127, 7), (1, 1), (107, 7), (0, 1), (0, 1)]  # 256 zeros, the end of block, one distance
    block = [(0, 1), (2, 2), (0, 5), (0, 5), (len(order) - 4, 4), *lengths, *codes, (0, 1)]
    value = bits = 0
    for number, width in block:
        value |= number << bits
        bits += width
    eight = sum(value << bits * times for times in range(8))  # to a byte boundary
    return eight.to_bytes(bits, "little") * (size_bytes // bits)


def deflated(junk: bytes, data: bytes) -> bytes:
    """A zlib stream of `data`, after `junk`."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    return b"\x78\x01" + junk + packed + struct.pack(">I", zlib.adler32(data))
