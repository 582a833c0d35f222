"""Preparation of images, compared with Pillow's own steps in the order of torchvision's."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.resizing import prepared, prepared_size, resized_size
from harmgauge.bundle.served_input import InputSpec

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "scale": 1 / 255}


def by_pillow(file: bytes, resize: int, crop: int, how: str) -> npt.NDArray[np.uint8]:
    """Resize(resize) and CenterCrop(crop) of torchvision, of the upright image."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
    width, height = picture.size
    size = (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)
    picture = picture.resize(size, FILTERS[how])
    left, top = (round((side - crop) / 2.0) for side in picture.size)
    return np.asarray(picture.crop((left, top, left + crop, top + crop)))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(3, 300), st.integers(3, 300)),
    sides=st.tuples(st.integers(4, 60), st.integers(4, 60)),
    orientation=st.integers(1, 8),
    how=st.sampled_from(["bilinear", "bicubic"]),
    seed=st.integers(0, 99),
)
def test_it_equals_pillows_steps_on_the_upright_image(
    size: tuple[int, int], sides: tuple[int, int], orientation: int, how: Literal["bilinear", "bicubic"], seed: int
) -> None:
    resize, crop = max(sides), min(sides)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    exif[0x112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", exif=exif, compress_level=0)
    spec = ImageSpec(mode="RGB", layout="HWC", resize=resize, crop=crop, filter=how)
    found = prepared(Image.open(io.BytesIO(stream.getvalue())), orientation, spec)
    np.testing.assert_array_equal(found, by_pillow(stream.getvalue(), resize, crop, how))
    upright = size[::-1] if orientation > 4 else size
    assert prepared_size((upright[0], upright[1]), spec) == (crop, crop)


def test_the_longer_side_is_rounded_down() -> None:
    assert resized_size((500, 375), 256) == (341, 256)
    assert resized_size((375, 500), 256) == (256, 341)
    assert resized_size((8, 8), 256) == (256, 256)
    assert resized_size((8, 9), None) == (8, 9)


def test_a_crop_without_resizing_takes_the_middle() -> None:
    pixels = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    spec = ImageSpec(mode="L", layout="HWC", crop=(3, 2))
    np.testing.assert_array_equal(prepared(Image.fromarray(pixels), 1, spec)[:, :, 0], pixels[2:4, 2:5])
    assert prepared_size((2, 9), spec) == (2, 2)


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_pixels_are_normalised_as_in_torchvision_and_come_back(layout: Literal["HWC", "CHW"]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), np.uint8)
    image = ImageSpec(mode="RGB", layout=layout, **IMAGENET)
    values = image.of_pixels(pixels)
    expected = (pixels / 255 - IMAGENET["mean"]) / IMAGENET["std"]
    np.testing.assert_allclose(values if layout == "HWC" else values.transpose(0, 2, 3, 1), expected, rtol=1e-12)
    np.testing.assert_array_equal(image.to_pixels(values.astype(np.float32)), pixels)
    np.testing.assert_allclose(image.black, [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    np.testing.assert_allclose(image.white, [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])


def test_one_number_is_for_all_channels() -> None:
    image = ImageSpec(mode="RGB", layout="HWC", mean=(1.0,), scale=1 / 127.5)
    np.testing.assert_allclose(image.of_pixels(np.full((1, 1, 1, 3), 255, np.uint8)), 1)
    with pytest.raises(ValueError, match="mean has 2 numbers for images with 3 channels"):
        ImageSpec(mode="RGB", layout="HWC", mean=(1.0, 2.0))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"resize": 9, "crop": 5}, "crop 5 does not give the input's 6 x 4 pixels"),
        ({"resize": 9}, "resize 9 without crop does not give 6 x 4 pixels"),
    ],
)
def test_a_preparation_that_does_not_give_the_inputs_size_is_refused(image: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InputSpec(dtype="uint8", shape=(4, 6, 3), image=ImageSpec(mode="RGB", layout="HWC", **image))
    InputSpec(dtype="uint8", shape=(4, 6, 3), image=ImageSpec(mode="RGB", layout="HWC", resize=9, crop=(6, 4)))
