"""JPEG pictures: their expensive parts are counted before any of them is decoded."""

from __future__ import annotations

import io
import time
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from harmgauge.bundle.image_files.jpeg import MAX_SCANS, MAX_SEGMENTS, read_jpeg
from harmgauge.errors import Unprocessable, Unreadable
from tests.support.jpegs import encoded, joined, noise, segments, with_scans

PLAIN = encoded(noise(32), quality=90)


def pixels(jpeg: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(jpeg)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_blocks": 1},
        {"progressive": True, "restart_marker_rows": 1},
        {"subsampling": 0, "optimize": True},
        {"comment": b"x" * 5000, "icc_profile": b"p" * 200_000, "exif": Image.Exif().tobytes()},
    ],
)
def test_what_is_kept_is_the_same_picture(options: dict[str, object]) -> None:
    for size in (32, 100):
        jpeg = encoded(noise(size)[:, : size - 3], **options)
        found = read_jpeg(jpeg)
        assert found.size == (size - 3, size)
        np.testing.assert_array_equal(pixels(found.essential), pixels(jpeg))
        assert len(found.essential) <= len(jpeg)
        # Nothing changes the second time.
        assert read_jpeg(found.essential).essential == found.essential


def test_grey_and_cmyk_are_kept_too() -> None:
    for mode in ("L", "CMYK"):
        stream = io.BytesIO()
        Image.fromarray(noise(32)).convert(mode).save(stream, "JPEG")
        kept = pixels(read_jpeg(stream.getvalue()).essential)
        np.testing.assert_array_equal(kept, pixels(stream.getvalue()))


def test_so_many_scans_are_decoded_and_no_more() -> None:
    assert pixels(read_jpeg(with_scans(noise(32), MAX_SCANS)).essential).shape == (32, 32, 3)
    with pytest.raises(Unprocessable, match=f"more than {MAX_SCANS} scans; save it as a baseline or progressive JPEG"):
        read_jpeg(with_scans(noise(32), MAX_SCANS + 1))


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xc4\0\2",
        b"\xff\xdb\0\2",
        b"\xff\xe5\0\2",
        b"\xff\xfe\0\0",
        b"\xff\xdd\0\4\0\0",
        b"\xff\xdc\0\4\0\1",
        b"\xff\1",
    ],
)
@pytest.mark.parametrize("where", ["before", "between"])
def test_so_many_segments_and_no_more(segment: bytes, where: str) -> None:
    parts = [part for _, part in segments(PLAIN)]
    at = 0 if where == "before" else len(parts) - 1

    def with_more(count: int) -> bytes:
        return joined(parts[:at] + [segment] * count + parts[at:])

    read_jpeg(with_more(MAX_SEGMENTS - len(parts) - 1))
    with pytest.raises(Unprocessable, match=f"more than {MAX_SEGMENTS} segments"):
        read_jpeg(with_more(MAX_SEGMENTS))


@pytest.mark.parametrize("junk", [b"\xff\0", b"\xff\xd0", b"\0", b"\xff" * 63 + b"\0"])
def test_markers_that_are_none_cost_no_more_than_their_bytes(junk: bytes) -> None:
    """In the scan, and before the first segment."""
    for jpeg in (PLAIN[:-2] + junk * (2**21 // len(junk)) + b"\xff\xd9", PLAIN[:2] + junk * 20_000 + PLAIN[2:]):
        read_jpeg(jpeg)  # once, for everything that is created on first use
        begin = time.thread_time()
        found = read_jpeg(jpeg)
        per_byte = (time.thread_time() - begin) / len(jpeg)
        assert found.size == (32, 32)
        assert per_byte < 1e-6, "it takes some 10 ns"
    assert pixels(found.essential).shape == (32, 32, 3)


def test_a_marker_is_found_wherever_the_search_stops_for_breath() -> None:
    for extra in range(65_530, 65_545):
        jpeg = joined([b"\xff\xfe" + (2**16 - 1).to_bytes(2) + bytes(2**16 - 3), b"\0" * (extra - 65_530)])
        jpeg = jpeg[:-2] + PLAIN[2:]
        assert read_jpeg(jpeg).size == (32, 32)
        long_scan = PLAIN[:-2] + bytes(extra) + b"\xff\xd9"
        assert read_jpeg(long_scan).essential.endswith(b"\xff\xd9")


def test_filling_is_refused() -> None:
    """libjpeg starts over for each piece that it gets: 16 MB took 1.5 s."""
    with pytest.raises(Unprocessable, match="padded with long runs of FF bytes"):
        read_jpeg(PLAIN[:-2] + b"\xff" * 100_000 + b"\xff\xd9")
    few = PLAIN[:-2] + b"\xff" * 20 + b"\xff\xd9"
    np.testing.assert_array_equal(pixels(read_jpeg(few).essential), pixels(PLAIN))


def test_what_browsers_do_not_read_is_refused() -> None:
    for marker in (0xC3, 0xC9, 0xCA, 0xCF):
        with pytest.raises(Unprocessable, match=f"encoded as SOF{marker - 0xC0}, which browsers cannot read"):
            read_jpeg(PLAIN.replace(b"\xff\xc0", bytes([0xFF, marker]), 1))
    with pytest.raises(Unprocessable, match="12 bits per channel; expected 8"):
        read_jpeg(PLAIN.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c", 1))


def test_what_is_no_whole_picture() -> None:
    frame = next(part for marker, part in segments(PLAIN) if marker == 0xC0)
    for jpeg, message in (
        (b"GIF89a", "not a JPEG image"),
        (b"\xff\xd8", "it has no frame"),
        (joined([]), "it has no frame"),
        (b"\xff\xd8\xff\xc0\0\x11\x08\0", "its frame header is truncated"),
        (joined([frame, frame]), "it has two frames"),
    ):
        with pytest.raises(Unreadable, match=message):
            read_jpeg(jpeg)


def test_what_comes_behind_the_end_is_left_out() -> None:
    found = read_jpeg(PLAIN + with_scans(noise(32), 500))
    assert found.essential == read_jpeg(PLAIN).essential


def test_a_large_file_is_copied_once() -> None:
    large = encoded(noise(600), quality=95)
    tracemalloc.start()
    kept = read_jpeg(large).essential
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1.2 * len(kept) + 100_000
