"""PNG pictures: their expensive parts are found before any is unpacked, and transparency is detected."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from harmgauge.bundle.image_files.png import CHUNK_BYTES, MIN_CHUNKS, Png, read_png
from harmgauge.errors import Unprocessable, Unreadable
from tests.support.jpegs import noise
from tests.support.pngs import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGBA,
    chunk,
    deflated,
    empty_blocks,
    filtered,
    header,
    png,
)

PIXELS = noise(32)
HEAD = header(32, 32)
PACKED = zlib.compress(filtered(PIXELS))


def decoded(found: Png) -> Image.Image:
    picture = Image.open(io.BytesIO(found.essential))
    picture.load()
    return picture


@pytest.mark.parametrize(
    "body",
    [
        png(HEAD, [PACKED]),
        png(HEAD, [PACKED[at : at + 1] for at in range(len(PACKED))]),
        png(HEAD, [b"", *(PACKED[at : at + 1000] for at in range(0, len(PACKED), 1000)), b"", b""]),
        png(HEAD, [PACKED], before=[chunk(b"acTL", bytes(8)), chunk(b"fcTL", bytes(26)), chunk(b"zTXt", b"x" * 9)]),
        png(HEAD, [PACKED], behind=chunk(b"fdAT", bytes(4) + PACKED) * 20),
        png(HEAD, [PACKED]) + png(HEAD, [PACKED]),
        png(HEAD, [PACKED])[:-12],
    ],
)
def test_what_is_kept_is_the_same_picture(body: bytes) -> None:
    found = read_png(body)
    assert found.size == (32, 32)
    assert found.essential == png(HEAD, [PACKED])
    np.testing.assert_array_equal(np.asarray(decoded(found)), PIXELS)


def test_interlaced_pictures_are_read() -> None:
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(filtered(PIXELS[top::down, left::right]) for top, left, down, right in passes)
    found = read_png(png(header(32, 32, interlaced=1), [zlib.compress(raw, 0)]))
    np.testing.assert_array_equal(np.asarray(decoded(found)), PIXELS)


def test_so_many_chunks_and_no_more() -> None:
    def with_chunks(count: int, size_bytes: int) -> bytes:
        return png(HEAD, [PACKED], before=[chunk(b"tEXt", bytes(size_bytes))] * count)

    read_png(with_chunks(MIN_CHUNKS - 2, 0))
    with pytest.raises(Unprocessable, match="too many chunks for its size; save it with a common image editor"):
        read_png(with_chunks(MIN_CHUNKS + 1, 0))
    with pytest.raises(Unprocessable, match="too many chunks"):
        read_png(png(HEAD, [b""] * (MIN_CHUNKS + 1)))
    read_png(with_chunks(2 * MIN_CHUNKS, CHUNK_BYTES))


@pytest.mark.parametrize("data", [filtered(PIXELS), filtered(np.zeros_like(PIXELS))])
def test_packed_pixels_that_are_mostly_empty_blocks_are_refused(data: bytes) -> None:
    junk = empty_blocks(100_000)
    packed = deflated(junk, data)
    assert zlib.decompress(packed) == data
    with pytest.raises(Unprocessable, match=f"{len(packed)} bytes of compressed pixels for 3136 bytes uncompressed"):
        read_png(png(HEAD, [packed]))
    read_png(png(HEAD, [deflated(empty_blocks(500), data)]))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("level", [0, 1])
def test_what_an_encoder_may_write_is_never_too_much(bits: int, level: int) -> None:
    """Uncompressed, and of one row or one column."""
    for width, height in ((1, 500), (500, 1), (37, 41)):
        rows = np.random.default_rng(0).integers(0, 256, (height, (width * bits + 7) // 8), np.uint8)
        assert read_png(png(header(width, height, bits, GREY), [zlib.compress(filtered(rows), level)]))


def grey(bits: int, values: list[int], transparent: int | None) -> bytes:
    """One row of grey values."""
    packed = sum(value << 8 - bits * (at + 1) for at, value in enumerate(values[: 8 // bits])) if bits < 8 else None
    row = np.array([[packed]] if packed is not None else [values], np.uint8)
    before = [] if transparent is None else [chunk(b"tRNS", struct.pack(">H", transparent))]
    return png(header(len(values), 1, bits, GREY), [zlib.compress(filtered(row))], before=before)


def colours(colour: int, pixels: list[tuple[int, ...]], *before: tuple[bytes, bytes]) -> bytes:
    row = np.array([pixels], np.uint8)
    chunks = [chunk(*each) for each in before]
    return png(header(len(pixels), 1, 8, colour), [zlib.compress(filtered(row))], before=chunks)


TWO_COLOURS = (b"PLTE", bytes([9, 9, 9, 200, 0, 0]))


@pytest.mark.parametrize(
    ("body", "opaque"),
    [
        (colours(RGB, [(1, 2, 3), (4, 5, 6)]), True),
        (colours(RGBA, [(1, 2, 3, 255), (4, 5, 6, 255)]), True),
        (colours(RGBA, [(1, 2, 3, 255), (4, 5, 6, 254)]), False),
        (colours(GREY_ALPHA, [(1, 255), (9, 255)]), True),
        (colours(GREY_ALPHA, [(1, 255), (9, 0)]), False),
        (colours(RGB, [(1, 2, 3), (4, 5, 6)], (b"tRNS", struct.pack(">HHH", 4, 5, 6))), False),
        (colours(RGB, [(1, 2, 3), (4, 5, 6)], (b"tRNS", struct.pack(">HHH", 4, 5, 3))), True),
        (colours(RGB, [(1, 2, 3), (4, 5, 6)], (b"tRNS", struct.pack(">HHH", 260, 5, 6))), True),
        (colours(PALETTE, [(0,), (1,)], TWO_COLOURS), True),
        (colours(PALETTE, [(0,), (1,)], TWO_COLOURS, (b"tRNS", b"\xff\xfe")), False),
        (colours(PALETTE, [(0,), (1,)], TWO_COLOURS, (b"tRNS", b"\0")), False),
        (colours(PALETTE, [(1,), (1,)], TWO_COLOURS, (b"tRNS", b"\0")), True),
        *((grey(bits, [0, 1], None), True) for bits in (1, 2, 4)),
        *((grey(bits, [0, 1], 1), False) for bits in (1, 2, 4, 8)),
        *((grey(bits, [0, 1], 0), False) for bits in (1, 2, 4, 8)),
        *((grey(bits, [0, 2], 1), True) for bits in (2, 4, 8)),
        (grey(1, [0, 0], 1), True),
        (grey(8, [3, 4], 3 + 256), True),
    ],
)
def test_whether_every_pixel_is_opaque(body: bytes, opaque: bool) -> None:
    found = read_png(body)
    assert found.is_opaque(decoded(found)) is opaque


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_few_colours_are_looked_up_by_their_own_numbers(bits: int) -> None:
    row = np.array([[1 << 8 - bits]], np.uint8)  # the colours 1 and 0
    for transparency, opaque in ((b"\xff\0", False), (b"\xff\xff\0", True)):
        chunks = [chunk(*TWO_COLOURS), chunk(b"tRNS", transparency)]
        found = read_png(png(header(2, 1, bits, PALETTE), [zlib.compress(filtered(row))], before=chunks))
        assert found.is_opaque(decoded(found)) is opaque


def test_a_large_file_is_copied_once() -> None:
    pixels = noise(600)
    large = png(header(600, 600), [zlib.compress(filtered(pixels), 0)])
    tracemalloc.start()
    kept = read_png(large).essential
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1.2 * len(kept) + 100_000


def test_what_is_no_whole_picture() -> None:
    for body, message in (
        (b"GIF89a", "not a PNG image"),
        (HEAD[:20], "does not begin with a header"),
        (HEAD[:8] + chunk(b"IDAT", PACKED) + HEAD[8:], "does not begin with a header"),
        (header(32, 32, colour=5), "its header is invalid"),
        (png(HEAD, [PACKED], before=[chunk(b"tRNS", b"\0")]), "its transparency is invalid"),
        (png(HEAD, [PACKED], before=[chunk(b"PLTE", bytes(3))] * 2), "two PLTE chunks"),
    ):
        with pytest.raises(Unreadable, match=message):
            read_png(body)
