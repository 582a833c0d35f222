"""Pictures: which parts are read, and which are not unpacked."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest

from harmgauge.api.body.decode import THREAD_PICTURE_BYTES, is_large
from harmgauge.api.body.images import read_image
from harmgauge.api.body.media import IMAGES as FORMATS
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import DeadlinePassed, RequestError, TooLarge, Unprocessable
from tests.support.bodies import IMAGES, PIXELS, picture, read
from tests.support.jpegs import encoded, noise, with_scans
from tests.support.pngs import chunk, deflated, empty_blocks, filtered, header, png


def test_a_small_picture_that_unpacks_to_a_huge_one_is_refused_by_its_header() -> None:
    bomb = picture(np.zeros((3000, 3000), np.uint8))
    assert len(bomb) < 20_000
    with pytest.raises(Unprocessable, match="has 3000 x 3000 pixels"):
        read(bomb, "image/png", {}, PIXELS)


def test_what_a_png_carries_beside_its_pixels_is_not_unpacked() -> None:
    """Sixty texts of a megabyte each, in 60 kB: they would block the event loop for a tenth of a second."""
    good = picture(IMAGES[0])
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20)))
    after_header = 8 + 12 + 13
    body = good[:after_header] + text * 55 + good[after_header:]
    tracemalloc.start()
    np.testing.assert_array_equal(read(body, "image/png", {}, PIXELS).instances, IMAGES[:1])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2**19
    with pytest.raises(TooLarge, match="expected at most .* for its size in pixels"):
        read(good[:after_header] + text * 100 + good[after_header:], "image/png", {}, PIXELS)


def test_sixteen_bits_a_channel_are_not_cut_to_eight() -> None:
    rows = b"".join(b"\0" + bytes(6 * PIXELS.shape[1]) for _ in range(PIXELS.shape[0]))
    header = struct.pack(">IIBBBBB", PIXELS.shape[1], PIXELS.shape[0], 16, 2, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    with pytest.raises(Unprocessable, match="16 bits per channel"):
        read(body, "image/png", {}, PIXELS)


def spec(size: int) -> InputSpec:
    image = ImageSpec(mode="RGB", layout="HWC", scale=1)
    return InputSpec(dtype="uint8", shape=(size, size, 3), minimum=0, maximum=255, image=image)


def seconds(body: bytes, media_type: str, size: int) -> float:
    """The CPU seconds for reading or rejecting it: the best of three."""
    times = []
    for _ in range(3):
        begin = time.thread_time()
        with suppress(RequestError):
            read_image(body, FORMATS[media_type], spec(size))
        times.append(time.thread_time() - begin)
    return min(times)


def dear(size: int) -> dict[str, tuple[bytes, str]]:
    """The most expensive pictures of this size, as large as allowed."""
    most_bytes = 2 * 4 * 3 * size * size + 2**16
    plain, data = encoded(noise(size), quality=50), filtered(noise(size))
    packed = zlib.compress(data)
    scan = with_scans(noise(size), 12)
    found = {
        "scans": (with_scans(noise(size), 64), "image/jpeg"),
        "long scans": (with_scans(noise(size), 64, long=True), "image/jpeg"),
        "very many scans": (with_scans(noise(size), most_bytes // len(scan) * 12), "image/jpeg"),
        "comments": (plain[:2] + b"\xff\xfe\0\2" * ((most_bytes - len(plain)) // 4) + plain[2:], "image/jpeg"),
        "escapes": (plain[:-2] + b"\xff\0" * ((most_bytes - len(plain)) // 2) + b"\xff\xd9", "image/jpeg"),
        "empty blocks": (
            png(header(size, size), [deflated(empty_blocks(len(data) - 300), bytes(len(data)))]),
            "image/png",
        ),
        "empty chunks": (
            png(header(size, size), [*[b""] * ((most_bytes - len(packed)) // 12 - 20), packed]),
            "image/png",
        ),
        "bytes": (png(header(size, size), [packed[at : at + 1] for at in range(4000)] + [packed[4000:]]), "image/png"),
    }
    return {name: (body[:most_bytes], media_type) for name, (body, media_type) in found.items()}


@pytest.mark.parametrize("size", [32, 128, 512])
def test_no_file_costs_much_more_than_a_plain_one_of_its_bytes(size: int) -> None:
    """Scans used to take 3 us per byte, comments 0.3; a plain JPEG takes 0.04, and the most expensive accepted one
    0.15.
    """
    plain = encoded(noise(size), quality=90)
    plain_seconds = seconds(plain, "image/jpeg", size)
    for name, (body, media_type) in dear(size).items():
        times = 10 if name == "empty blocks" else 4
        bound = plain_seconds * max(20, times * len(body) / len(plain))
        assert seconds(body, media_type, size) < bound + 0.002, name


def test_what_is_read_on_the_event_loop_is_cheap() -> None:
    """The largest picture that is read there, and the largest with the smallest side."""
    plain_seconds = seconds(encoded(noise(32)), "image/jpeg", 32)
    for size in (32, int((THREAD_PICTURE_BYTES / 3) ** 0.5)):
        for name, (body, media_type) in dear(size).items():
            beginning = body[:THREAD_PICTURE_BYTES]
            assert not is_large(len(beginning), media_type, spec(size))
            assert is_large(THREAD_PICTURE_BYTES + 1, media_type, spec(size))
            assert seconds(beginning, media_type, size) < 40 * plain_seconds + 0.002, name
    assert is_large(1000, "image/png", spec(65))


@pytest.mark.parametrize("name", ["long scans", "empty blocks"])
def test_a_decode_ends_between_two_pieces(name: str) -> None:
    body, media_type = dear(512)[name]
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise DeadlinePassed("enough")

    with pytest.raises(DeadlinePassed, match="enough"):
        read_image(body, FORMATS[media_type], spec(512), check)
    calls = -(10**9)
    read_image(body, FORMATS[media_type], spec(512), check)
    assert calls + 10**9 > len(body) / 2**16
