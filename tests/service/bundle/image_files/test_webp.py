"""WebP images: read like Pillow, refused without decoding where they are animated or lie about their size."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harmgauge.bundle.image_files.webp import read_webp
from harmgauge.errors import RequestError, Unprocessable, Unreadable
from tests.support.bodies import IMAGES, PIXELS, read

WEBP = "image/webp"


def webp(picture: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "WEBP", **options)
    return stream.getvalue()


def parts(body: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at + 8 <= len(body):
        kind, length = struct.unpack_from("<4sI", body, at)
        found.append((kind, body[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def joined(chunks: list[tuple[bytes, bytes]]) -> bytes:
    data = b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WEBP" + data


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 90}, {"lossless": True, "exif": Image.Exif()}])
def test_it_reads_what_pillow_reads(options: dict[str, Any]) -> None:
    body = webp(Image.fromarray(IMAGES[0]), **options)
    expected = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
    np.testing.assert_array_equal(read(body, WEBP, {}, PIXELS).instances[0], expected)


def test_grey_and_opaque_alpha_are_read_and_transparency_is_refused() -> None:
    picture = Image.fromarray(IMAGES[0])
    body = webp(picture.convert("RGBA"), lossless=True, exact=True)
    np.testing.assert_array_equal(read(body, WEBP, {}, PIXELS).instances[0], IMAGES[0])
    picture = picture.convert("RGBA")
    picture.putpixel((1, 1), (1, 2, 3, 77))
    for options in ({"lossless": True}, {"quality": 80}):
        with pytest.raises(Unprocessable, match="transparent pixels"):
            read(webp(picture, **options), WEBP, {}, PIXELS)


def test_it_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    height, width = PIXELS.shape[:2]
    lying = np.ascontiguousarray(np.rot90(IMAGES[0]))
    body = webp(Image.fromarray(lying), lossless=True, exif=exif)
    assert read_webp(body).size == (height, width)
    np.testing.assert_array_equal(read(body, WEBP, {}, PIXELS).instances[0], IMAGES[0])


def test_what_does_not_affect_pixels_is_left_out() -> None:
    body = webp(Image.fromarray(IMAGES[0]), lossless=True, icc_profile=b"profile" * 99, xmp=b"x" * 999)
    inspected = read_webp(body)
    assert [kind for kind, _ in parts(inspected.essential)] == [b"VP8X", b"VP8L"]
    assert len(inspected.essential) < len(body) - 1500


def test_an_animation_is_refused() -> None:
    frames = [Image.fromarray(np.roll(IMAGES[0], step, 0)) for step in range(3)]
    body = webp(frames[0], save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(Unprocessable, match="animated"):
        read(body, WEBP, {}, PIXELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda body: body[:11], "not a WebP image"),
        (lambda body: b"RIFF" + body[4:8] + b"WAVE" + body[12:], "not a WebP image"),
        (lambda _: joined([]), "it has no frame"),
        (lambda body: joined(parts(body) * 2), "it has two VP8L chunks"),
        (lambda body: joined([(b"VP8L", b"\0" + parts(body)[0][1][1:])]), "frame header is invalid"),
        (lambda _: joined([(b"VP8 ", b"\0" * 20)]), "frame header is invalid"),
        (lambda body: joined([*parts(body), (b"VP8 ", b"\0" * 20)]), "it has two frames"),
        (lambda body: joined([(b"VP8X", b"\0" * 10), *parts(body)]), "its canvas has 1 x 1 pixels, but its frame"),
        (lambda body: joined([(b"VP8X", b""), *parts(body)]), "header is truncated"),
        (lambda body: joined([(b"JUNK", b"")] * 65 + parts(body)), "more than 64 chunks"),
        (lambda body: body[: len(body) // 2], "cannot be decoded"),
        (lambda body: body[:40] + bytes(len(body) - 40), "cannot be decoded"),
    ],
)
def test_a_hostile_file_is_refused(change: Any, message: str) -> None:
    body = webp(Image.fromarray(np.random.default_rng(0).integers(0, 256, IMAGES[0].shape, np.uint8)), lossless=True)
    with pytest.raises((Unreadable, Unprocessable), match=message):
        read(change(body), WEBP, {}, PIXELS)


def test_a_tiny_file_that_claims_a_huge_picture_is_refused_by_its_header() -> None:
    bomb = webp(Image.new("RGB", (6000, 6000)), lossless=True, method=0)
    assert len(bomb) < 5000
    with pytest.raises(RequestError, match="has 6000 x 6000 pixels"):
        read(bomb, WEBP, {}, PIXELS)
