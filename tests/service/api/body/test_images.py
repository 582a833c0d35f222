"""Pictures: what is read of them, and what is not unpacked."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from harmgauge.errors import TooLarge, Unprocessable
from tests.support.bodies import IMAGES, PIXELS, picture, read


def test_a_small_picture_that_unpacks_to_a_huge_one_is_refused_by_its_header() -> None:
    bomb = picture(np.zeros((3000, 3000), np.uint8))
    assert len(bomb) < 20_000
    with pytest.raises(Unprocessable, match="has 3000 x 3000 pixels"):
        read(bomb, "image/png", {}, PIXELS)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_what_a_png_carries_beside_its_pixels_is_not_unpacked() -> None:
    """Sixty texts of a megabyte each, in 60 kB: they would hold up the loop for a tenth of a second."""
    good = picture(IMAGES[0])
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20)))
    after_header = 8 + 12 + 13
    body = good[:after_header] + text * 55 + good[after_header:]
    tracemalloc.start()
    np.testing.assert_array_equal(read(body, "image/png", {}, PIXELS).instances, IMAGES[:1])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**19
    with pytest.raises(TooLarge, match="one of this size needs at most"):
        read(good[:after_header] + text * 100 + good[after_header:], "image/png", {}, PIXELS)


def test_sixteen_bits_a_channel_are_not_cut_to_eight() -> None:
    rows = b"".join(b"\0" + bytes(6 * PIXELS.shape[1]) for _ in range(PIXELS.shape[0]))
    header = struct.pack(">IIBBBBB", PIXELS.shape[1], PIXELS.shape[0], 16, 2, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    with pytest.raises(Unprocessable, match="16 bits a channel"):
        read(body, "image/png", {}, PIXELS)
