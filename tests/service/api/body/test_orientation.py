"""Pictures are scored as people see them: turned by the orientation in their EXIF block."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.orientation import read_orientation, turned
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import Unprocessable
from tests.support.bodies import read

ORIENTATION = 0x112
LYING = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def spec(height: int, width: int) -> InputSpec:
    return InputSpec(
        dtype="uint8",
        shape=(height, width, 3),
        minimum=0,
        maximum=255,
        image=ImageSpec(mode="RGB", layout="HWC", scale=1),
    )


def tagged(orientation: int, file_format: str, **options: Any) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x10F] = "A camera's maker, before the tag that counts"
    exif[ORIENTATION] = orientation
    Image.fromarray(LYING).save(stream, file_format, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_ways(orientation: int, file_format: str) -> None:
    options = {} if file_format == "PNG" else {"quality": 95, "subsampling": 0}
    body = tagged(orientation, file_format, **options)
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(body)))
    assert seen.size == ((4, 6) if orientation > 4 else (6, 4))
    media_type = f"image/{file_format.lower()}"
    rows = read(body, media_type, {}, spec(seen.height, seen.width)).instances
    np.testing.assert_array_equal(rows[0], np.asarray(seen))
    with pytest.raises(Unprocessable) as refusal:
        read(body, media_type, {}, spec(seen.width, seen.height))
    assert f"has {seen.width} x {seen.height} pixels" in refusal.value.detail
    assert ("after its EXIF orientation is applied" in refusal.value.detail) == (orientation > 4)


def test_the_turned_pixels_are_a_view() -> None:
    for orientation in range(1, 9):
        assert np.shares_memory(turned(LYING, orientation), LYING)


def block(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    """A TIFF header and a directory of (tag, type, count, value as a short)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return (
        head
        + struct.pack(f"{order}H", len(entries))
        + b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries)
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(order: str) -> None:
    assert read_orientation(block(order, (0x10F, 2, 4, 0), (ORIENTATION, 3, 1, 6), (0x213, 3, 1, 1))) == 6
    assert read_orientation(block(order, *[(0x10F, 3, 1, 1)] * 600, (ORIENTATION, 3, 1, 6))) == 6


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"MM",
        b"MM\0*\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"XX\0*\0\0\0\x08\0\0",
        block(">"),
        block(">", (ORIENTATION, 3, 1, 6))[:-2],
        block(">", (ORIENTATION, 3, 1, 1), (ORIENTATION, 3, 1, 6)),
        block(">", (ORIENTATION, 3, 1, 0)),
        block(">", (ORIENTATION, 3, 1, 9)),
        block(">", (ORIENTATION, 3, 2, 6)),
        block(">", (ORIENTATION, 4, 1, 6)),
        block(">", *[(0x10F, 3, 1, 1)] * 60_000, (ORIENTATION, 3, 1, 6)),
    ],
)
def test_a_broken_block_is_ignored_as_chromium_does(exif: bytes) -> None:
    assert read_orientation(exif) == 1
    stream = io.BytesIO()
    Image.fromarray(LYING).save(stream, "JPEG", quality=95)
    plain = stream.getvalue()
    content = b"Exif\0\0" + exif[:60_000]
    body = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + plain[2:]
    expected = read(plain, "image/jpeg", {}, spec(4, 6)).instances
    np.testing.assert_array_equal(read(body, "image/jpeg", {}, spec(4, 6)).instances, expected)
