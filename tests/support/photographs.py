"""Images for corruption, and image files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps


def photographs(rows: int, height: int = 32, width: int = 32) -> npt.NDArray[np.uint8]:
    """Smooth colours with an edge, which every kind changes."""
    slope = np.linspace(40, 200, height)[:, None] + np.linspace(20, 180, width)
    image = slope[:, :, None] / 2 * np.array([1, 0.8, 0.6])
    image[::7, ::3] = 20
    return np.repeat(image.astype(np.uint8)[None], rows, 0)


def camera_photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours with grain, as a camera takes them; not square, so that every rotation shows."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 6, (3, 2))
    across, down = np.arange(width) / (width / 9), np.arange(height) / (height / 7)
    waves = [np.sin(across + phase)[None] * np.cos(down + other)[:, None] for phase, other in phases]
    grain = random.integers(-8, 8, (height, width, 1))
    return Image.fromarray(np.clip(127.5 + 100 * np.stack(waves, -1) + grain, 0, 255).astype(np.uint8))


def image_file(picture: Image.Image, file_format: str, orientation: int = 1, **options: Any) -> bytes:
    """The picture in a file whose EXIF block gives this orientation."""
    exif = Image.Exif()
    exif[0x112] = orientation
    stream = io.BytesIO()
    picture.save(stream, file_format, exif=exif, **options)
    return stream.getvalue()


def as_torchvision(file: bytes, resize: int, crop: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Pixels (height, width, 3) of the upright image after Resize(resize) and CenterCrop(crop)."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
    width, height = picture.size
    size = (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - wanted) / 2) for side, wanted in zip(picture.size, crop, strict=True))
    return np.asarray(picture.crop((left, top, left + crop[0], top + crop[1])))


def class_folders(folder: Path, rows: int, *, width: int = 60, height: int = 48) -> Path:
    """`rows` image files of several formats, sizes and orientations, in the subfolders `ants` and `bees`."""
    formats = ("JPEG", "PNG", "WEBP")
    for row in range(rows):
        name = f"{row:03}.{formats[row % 3].lower()}"
        file = folder / ("ants", "bees")[row % 2] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        picture = camera_photograph(width + row % 7, height + row % 5, row)
        file.write_bytes(image_file(picture, formats[row % 3], 1 + row % 8))
    return folder
