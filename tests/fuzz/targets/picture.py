"""Common to all formats of pictures: the comparison with Pillow, which reads everything in the file."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from harmgauge.api.body import decode, media
from harmgauge.api.body.images import read_image
from harmgauge.api.body.picture_room import PictureRoom
from harmgauge.bundle.image_files.jpeg import _SAVE, _segments
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError
from tests.fuzz.expected import rows_of
from tests.fuzz.target import SPECS, attempt, check_rows, split
from tests.support.toy import instances

MOST_PIXELS = 100_000
"""Larger images are refused."""


def checker(media_type: str, default: InputSpec) -> Callable[[bytes], str]:
    """Compares the reader with Pillow, which opens the original picture.

    They may differ for the chunks of a PNG and the segments of a JPEG: the reader skips most of them, but Pillow may
    fail on them. Orientation is compared in tests/service/api/body/test_orientation.py; here the reader may turn
    pictures with an EXIF block.
    """

    def check(case: bytes) -> str:
        spec, _, body = split(case)
        spec = spec if spec.image else default
        file_format = media.IMAGES[media_type]
        room = PictureRoom(MOST_PIXELS)
        assert spec.image is not None
        found = attempt(
            lambda: (
                read_image(body, file_format, spec, room=room)
                if spec.image is not None and spec.image.resizes
                else decode.read(body, media_type, {}, spec).instances
            )
        )
        expected = _expected(body, file_format, spec)
        if isinstance(found, RequestError):
            allowed = (
                expected is None
                or _dangling(body)
                or file_format == "WEBP"
                or "EXIF" in found.detail
                or _SAVE in found.detail
            )
            allowed = allowed or ("truncated" in found.detail and _cut_short(body))
            assert allowed, f"refused ({found.detail}), and Pillow reads it"
            return found.code
        if b"Exif" in body or b"eXIf" in body or b"EXIF" in body:
            return check_rows(found, found, spec) + ", uncompared"
        if expected is None or b"acTL" in body or b"fdAT" in body:  # Pillow may show another frame
            return check_rows(found, found, spec) + ", uncompared"
        return check_rows(found, expected, spec)

    return check


def _dangling(png: bytes) -> bool:
    """Pillow accepts a missing checksum of the last chunk, and chunks behind the end."""
    return png.startswith(b"\x89PNG")


def _cut_short(jpeg: bytes) -> bool:
    """If a segment without pixels ends behind the file's end, Pillow fills in the pixels that are missing before it."""
    return jpeg.startswith(b"\xff\xd8") and any(end > len(jpeg) for *_, end in _segments(jpeg))


def _expected(body: bytes, file_format: str, spec: InputSpec) -> Any:
    assert spec.image is not None
    if file_format == "WEBP":  # a broken frame may go on in the bytes behind the file's end
        body = body[: 8 + int.from_bytes(body[4:8], "little")]
    try:
        picture: Image.Image = Image.open(io.BytesIO(body), formats=[file_format])
        fits = picture.size == spec.image_size or spec.image.resizes
        if not fits or picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
            return None
        if picture.width * picture.height > MOST_PIXELS:
            return None
        picture = picture.convert(spec.image.mode)
        if spec.image.resizes:
            picture = _resized(picture, spec.image)
        pixels = np.asarray(picture)
    except Exception:  # on a broken file its decoders may raise any error
        return None
    if b"IHDR" in body and body[24:25] == b"\x10":
        return None
    channels = pixels.reshape(*pixels.shape[:2], -1)
    ordered = channels.transpose(2, 0, 1) if spec.image.layout == "CHW" else channels
    numbers = ordered[None].tolist()
    return rows_of(_scaled(numbers, spec.image.scale) if spec.image.scale != 1 else numbers, spec)


def _resized(picture: Image.Image, image: ImageSpec) -> Image.Image:
    """torchvision's Resize and CenterCrop."""
    assert image.resize is not None
    assert image.crop_size is not None
    short = min(picture.size)
    picture = picture.resize(
        (int(image.resize * picture.width / short), int(image.resize * picture.height / short)),
        Image.Resampling.BILINEAR,
    )
    left, top = (round((side - crop) / 2) for side, crop in zip(picture.size, image.crop_size, strict=True))
    return picture.crop((left, top, left + image.crop_size[0], top + image.crop_size[1]))


def _scaled(nested: Any, scale: float) -> Any:
    return [_scaled(value, scale) for value in nested] if isinstance(nested, list) else nested * scale


def pictures(file_format: str, modes: tuple[str, ...]) -> list[bytes]:
    """Cases: pictures of the right size in these modes, and one of a wrong size."""
    made = []
    for name, shape in (
        ("pixels", (4, 5, 3)),
        ("unit", (4, 5, 3)),
        ("pixels", (64, 48, 3)),
        ("any_size", (9, 12, 3)),
    ):
        picture = Image.fromarray(instances(1, shape)[0])
        for mode in modes:
            options: list[dict[str, Any]] = [{}]
            if file_format == "JPEG":
                options = [{}, {"progressive": True}, {"restart_marker_blocks": 1, "comment": b"x"}]
            if file_format == "WEBP":
                options = [
                    {"lossless": True},
                    {"quality": 70},
                    {"lossless": True, "xmp": b"x", "exif": b"Exif\0\0MM\0*"},
                ]
            for option in options:
                stream = io.BytesIO()
                picture.convert("L" if mode == "I;16" else mode).convert(mode).save(stream, file_format, **option)
                made.append(name.encode() + b"\n" + stream.getvalue())
    assert SPECS["pixels"].image is not None
    return made
