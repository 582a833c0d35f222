"""Images in a folder are read like those of requests: the same array from the same file."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data import image_folder
from harmgauge_models.errors import UserError
from tests.support.bodies import read
from tests.support.photographs import camera_photograph

SPEC = ImageSpec(mode="RGB", layout="HWC", scale=1, resize=24, crop=(20, 16))
INPUT = InputSpec(dtype="uint8", shape=(16, 20, 3), minimum=0, maximum=255, image=SPEC)
PICTURE = camera_photograph(48, 36)
FORMATS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description tiff:Orientation=\"6\"/></x:xmpmeta>"

ROTATED = struct.pack(">HHIHH", 0x112, 3, 1, 6, 0)
HOSTILE = {
    "empty": b"",
    "no header": b"XX\0*\0\0\0\x08\0\x01" + ROTATED,
    "truncated in the entry": b"MM\0*\0\0\0\x08\0\x01" + ROTATED[:-3],
    "truncated before the directory": b"MM\0*\0\0\0\x08",
    "directory far outside": b"MM\0*\xff\xff\xff\xf0\0\x01" + ROTATED,
    "more entries than bytes": b"MM\0*\0\0\0\x08\xff\xff" + ROTATED,
    "two orientations": b"MM\0*\0\0\0\x08\0\x02" + struct.pack(">HHIHH", 0x112, 3, 1, 3, 0) + ROTATED,
    "a long": b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHII", 0x112, 4, 1, 6),
    "9": b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, 9, 0),
    "little-endian": b"II*\0" + struct.pack("<IHHHIHH", 8, 1, 0x112, 3, 1, 8, 0),
}


def encoded(file_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, file_format, **FORMATS.get(file_format, {}), **options)
    return stream.getvalue()


def in_folder(folder: Path, body: bytes, file_format: str) -> npt.NDArray[np.uint8]:
    (folder / f"picture.{file_format.lower()}").write_bytes(body)
    return np.concatenate(image_folder.read(folder, SPEC, (20, 16)).pixels)


def in_request(body: bytes, file_format: str) -> npt.NDArray[Any]:
    return np.concatenate(read(body, f"image/{file_format.lower()}", {}, INPUT).instances)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(file_format: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    body = encoded(file_format, exif=exif)
    served = in_request(body, file_format)
    np.testing.assert_array_equal(in_folder(tmp_path, body, file_format), served)
    plain = in_request(encoded(file_format), file_format)
    assert np.array_equal(served, plain) == (orientation == 1)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("exif", HOSTILE.values(), ids=HOSTILE)
def test_hostile_and_truncated_blocks(file_format: str, exif: bytes, tmp_path: Path) -> None:
    body = encoded(file_format, exif=b"Exif\0\0" + exif)
    np.testing.assert_array_equal(in_folder(tmp_path, body, file_format), in_request(body, file_format))


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_orientation_in_xmp_alone_is_ignored_by_both(file_format: str, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    body = encoded(file_format, pnginfo=info) if file_format == "PNG" else encoded(file_format, xmp=XMP)
    with Image.open(io.BytesIO(body)) as picture:
        assert picture.getexif().get(0x112) == 6  # Pillow alone would turn it
    expected = in_request(encoded(file_format), file_format)
    np.testing.assert_array_equal(in_request(body, file_format), expected)
    np.testing.assert_array_equal(in_folder(tmp_path, body, file_format), expected)


def test_a_jpeg_with_previews(tmp_path: Path) -> None:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x112] = 6
    PICTURE.save(stream, "MPO", quality=95, exif=exif, save_all=True, append_images=[PICTURE.reduce(2)])
    body = stream.getvalue()
    with Image.open(io.BytesIO(body)) as picture:
        assert picture.format == "MPO"
    np.testing.assert_array_equal(in_folder(tmp_path, body, "JPEG"), in_request(body, "JPEG"))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_tiff_is_turned_once(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x112] = orientation
    found = in_folder(tmp_path, encoded("TIFF", tiffinfo=tags), "TIFF")
    np.testing.assert_array_equal(found, in_request(encoded("PNG", exif=exif), "PNG"))


def test_a_file_that_the_service_would_refuse(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((36, 48), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"would refuse .*deep.png \(The image has 16 bits per channel; expected 8"):
        image_folder.read(tmp_path, SPEC, (20, 16))
