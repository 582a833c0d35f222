"""Measures of pictures: closed forms, scipy's filters, and what each of them does not depend on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import convolve, gaussian_filter

from harmgauge.bundle import picture_measures
from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.picture_measures import MEASURES, measures_of, names_of
from tests.support.textures import blurred, textures

PIXELS = ImageSpec(mode="RGB", layout="HWC", scale=1)
GREY = ImageSpec(mode="L", layout="HWC", scale=1)
PICTURES = textures(40, side=24)


def measured(pixels: npt.NDArray[Any], spec: ImageSpec = PIXELS) -> dict[str, npt.NDArray[np.float64]]:
    return dict(zip(names_of(spec), measures_of(pixels, spec).T, strict=True))


def luma(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114]))


def inside(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without the pixels at the border, for which a filter would need pixels from outside."""
    return values[:, 1:-1, 1:-1]


def average(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(values.mean((1, 2)))


def test_they_are_what_scipy_and_numpy_compute() -> None:
    found, y = measured(PICTURES), luma(PICTURES)
    np.testing.assert_allclose(found["brightness"], average(y), rtol=1e-5)
    np.testing.assert_allclose(found["contrast"], y.std((1, 2)), rtol=1e-5)
    cross = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    bent = average(np.abs(inside(convolve(y, cross[None]))))
    slope = average(np.abs(np.diff(y, axis=1))) + average(np.abs(np.diff(y, axis=2)))
    np.testing.assert_allclose(found["sharpness"], bent / slope, rtol=1e-4)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    height, width = y.shape[1:]
    total = np.abs(inside(convolve(y, mask[None]))).sum((1, 2))
    immerkaer = np.sqrt(np.pi / 2) / (6 * (width - 2) * (height - 2)) * total
    np.testing.assert_allclose(found["noise"], immerkaer, rtol=1e-4)
    largest, smallest = PICTURES.max(-1).astype(float), PICTURES.min(-1)
    np.testing.assert_allclose(found["saturation"], average((largest - smallest) / np.maximum(largest, 1)), rtol=1e-5)


@pytest.mark.parametrize("level", [0, 1, 200, 255])
def test_a_picture_of_one_colour(level: int) -> None:
    found = measured(np.full((2, 8, 8, 3), level, np.uint8))
    np.testing.assert_allclose(found["brightness"], level, rtol=1e-5)
    for name in ("contrast", "sharpness", "noise", "saturation"):
        np.testing.assert_allclose(found[name], 0, atol=1e-4, err_msg=name)


def test_closed_forms_of_an_edge() -> None:
    edge = np.zeros((1, 9, 8, 1), np.uint8)
    edge[:, :, 4:] = 100
    found = measured(edge, GREY)
    assert found["brightness"] == pytest.approx(50)
    assert found["contrast"] == pytest.approx(50)
    # 2 of 6 inner columns bend by 100; 1 of 7 steps is 100.
    assert found["sharpness"] == pytest.approx((2 / 6) / (1 / 7))
    assert found["noise"] == pytest.approx(0, abs=1e-5)
    red = np.zeros((1, 4, 4, 3), np.uint8)
    red[..., 0] = 7
    assert measured(red)["saturation"] == pytest.approx(1)


@pytest.mark.parametrize("sd", [2.0, 5.0, 12.0])
def test_noise_of_known_strength_is_estimated_within_a_tenth(sd: float) -> None:
    random = np.random.default_rng(0)
    slope = np.linspace(60, 190, 64)[:, None] + np.linspace(-20, 20, 64)
    noisy = slope[None, :, :, None] + random.normal(0, sd, (20, 64, 64, 1))
    spec = ImageSpec(mode="L", layout="HWC", scale=1)
    assert measured(noisy.astype(np.float32), spec)["noise"].mean() == pytest.approx(sd, rel=0.1)


def test_blur_lowers_sharpness_and_contrast_does_not() -> None:
    found = measured(PICTURES)
    softer, softest = measured(blurred(PICTURES, 0.6)), measured(blurred(PICTURES, 1.5))
    assert (softer["sharpness"] < found["sharpness"]).all()
    assert (softest["sharpness"] < softer["sharpness"]).all()
    flat = measured((0.5 * PICTURES + 60).astype(np.float32))
    np.testing.assert_allclose(flat["sharpness"], found["sharpness"], rtol=1e-3)
    np.testing.assert_allclose(flat["contrast"], found["contrast"] / 2, rtol=1e-3)


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_the_form_of_the_input_does_not_matter(layout: Literal["HWC", "CHW"]) -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for spec in (
        ImageSpec(mode="RGB", layout=layout, scale=1),
        ImageSpec(mode="RGB", layout=layout, scale=1 / 255),
        ImageSpec(mode="RGB", layout=layout, scale=1 / 255, mean=mean, std=std),
    ):
        rows = spec.of_pixels(PICTURES)
        given = rows if rows.dtype == np.uint8 else rows.astype(np.float32)
        np.testing.assert_allclose(measures_of(given, spec), measures_of(PICTURES, PIXELS), rtol=1e-3, atol=1e-3)


def test_grey_pictures_have_no_saturation_and_no_rows_no_measures() -> None:
    assert names_of(GREY) == MEASURES[:-1]
    assert measures_of(PICTURES[..., :1], GREY).shape == (40, 4)
    assert measures_of(PICTURES[:0], PIXELS).shape == (0, 5)


def test_many_at_once_are_the_same_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measures_of(PICTURES, PIXELS)
    monkeypatch.setattr(picture_measures, "_PIECE_NUMBERS", 3 * PICTURES[0].size)
    np.testing.assert_allclose(measures_of(PICTURES, PIXELS), whole, rtol=1e-6)


def test_they_follow_smooth_changes_of_focus() -> None:
    values = [measured(gaussian_filter(PICTURES, (0, s, s, 0)))["sharpness"].mean() for s in (0.4, 0.8, 1.2, 1.6)]
    assert np.diff(values).max() < 0
