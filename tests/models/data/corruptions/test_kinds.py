"""Single kinds compared with closed forms, Pillow, colorsys and scipy."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import zoom as scipy_zoom

from harmgauge_models.data.corruptions import CORRUPTIONS, corrupt
from harmgauge_models.data.corruptions.blur import trail
from harmgauge_models.data.corruptions.pixels import sample, zoom
from harmgauge_models.data.corruptions.spatter import canny
from harmgauge_models.data.corruptions.weather import plasma
from tests.support.photographs import photographs
from tests.support.toy import instances

GREY = np.full((4, 32, 32, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("name", "spread"),
    [("gaussian_noise", 0.10), ("speckle_noise", 0.20 * 128 / 255), ("shot_noise", (128 / 255 / 50) ** 0.5)],
)
def test_noise_has_the_published_spread(name: str, spread: float) -> None:
    noisy = corrupt(name, GREY, 5, 0)
    assert noisy.std() == pytest.approx(spread * 255, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=1.5)


def test_impulses_are_black_or_white_and_as_many_as_published() -> None:
    hit = corrupt("impulse_noise", GREY, 5, 0)
    assert set(np.unique(hit)) == {0, 128, 255}
    assert (hit != 128).mean() == pytest.approx(0.07, abs=0.01)
    assert (hit == 0).mean() == pytest.approx((hit == 255).mean(), abs=0.01)


def test_contrast_keeps_the_mean_and_the_published_share_of_the_spread() -> None:
    images = photographs(2)
    flat = corrupt("contrast", images, 5, 0)
    np.testing.assert_allclose(flat.mean((1, 2)), images.mean((1, 2)), atol=1)
    assert flat.std((1, 2)) == pytest.approx(0.15 * images.std((1, 2)), rel=0.05)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_brightness_and_saturation_are_those_of_hsv(severity: int) -> None:
    images = instances(2, (4, 4, 3))
    added = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    factor, offset = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))[severity - 1]
    for name in ("brightness", "saturate"):
        expected = []
        for pixel in images.reshape(-1, 3) / 255:
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            if name == "brightness":
                value = min(1, value + added)
            else:
                saturation = min(1, saturation * factor + offset)
            expected.append(colorsys.hsv_to_rgb(hue, saturation, value))
        given = corrupt(name, images, severity, 0).reshape(-1, 3)
        np.testing.assert_allclose(given, np.floor(np.array(expected) * 255), atol=1)


@pytest.mark.parametrize("name", ["defocus_blur", "gaussian_blur", "motion_blur", "zoom_blur", "glass_blur"])
def test_blur_leaves_a_flat_image_and_smooths_noise(name: str) -> None:
    np.testing.assert_allclose(corrupt(name, GREY, 5, 0), 128, atol=1)
    noise = instances(4, (32, 32, 3))
    assert corrupt(name, noise, 5, 0).std() < 0.9 * noise.std()


def test_a_trail_goes_one_way_and_keeps_the_light() -> None:
    point = np.zeros((2, 31, 31, 1), np.float32)
    point[:, 15, 15] = 1
    level, downwards = trail(point, 6, 2, np.array([0.0, -90.0]))
    assert level.sum() == pytest.approx(1, rel=1e-5)
    assert set(np.flatnonzero(level.sum((1, 2)))) == {15}
    assert np.flatnonzero(level.sum((0, 2))).max() == 15
    assert set(np.flatnonzero(downwards.sum((0, 2)))) == {15}
    assert np.flatnonzero(downwards.sum((1, 2))).min() == 15


def test_zoom_is_scipys() -> None:
    pixels = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    enlarged = scipy_zoom(pixels[:, 6:26, 6:26], (1, 1.6, 1.6, 1), order=1)
    np.testing.assert_allclose(zoom(pixels, 1.6), enlarged, atol=1e-5)
    np.testing.assert_allclose(zoom(pixels, 1.0), pixels, atol=1e-6)


def test_sampling_between_pixels_and_beyond_the_border() -> None:
    image = np.arange(12, dtype=float).reshape(1, 3, 4, 1)

    def at(row: float, column: float) -> npt.NDArray[Any]:
        return sample(image, np.full((1, 1, 1), row), np.full((1, 1, 1), column))

    assert at(1, 2).item() == 6
    assert at(0.5, 1.5).item() == 3.5
    assert at(-1, 0).item() == at(1, 0).item()
    assert at(0, 4).item() == at(0, 2).item()


def test_plasma_fills_0_to_1_and_is_smoother_with_more_decay() -> None:
    rough, smooth = (plasma(8, 32, decay, np.random.default_rng(0)) for decay in (1.2, 3.0))
    for clouds in (rough, smooth):
        assert clouds.shape == (8, 32, 32)
        assert clouds.min() == 0
        assert clouds.max() == 1
    assert np.abs(np.diff(smooth)).mean() < np.abs(np.diff(rough)).mean() / 2


def test_edges_are_found_where_they_are_and_not_across_images() -> None:
    pictures = np.zeros((2, 16, 16), np.uint8)
    pictures[0, :, 8:] = 255
    edges = canny(pictures, 50, 150)
    assert edges[0, 2:-2].sum(1).tolist() == [1] * 12
    assert set(np.flatnonzero(edges[0].any(0))) <= {7, 8}
    assert not edges[1].any()


def test_weak_edges_count_where_they_join_a_strong_one() -> None:
    pictures = np.zeros((2, 24, 24), np.uint8)
    pictures[:, :, 12:] = 25
    pictures[0, :6, 12:] = 200
    with_strong, alone = canny(pictures, 50, 150)
    assert with_strong[16, 10:14].any()
    assert not alone.any()


def test_pixelate_has_few_different_pixels_and_jpeg_is_lossy_at_once() -> None:
    noise = instances(1, (32, 32, 3))
    pixelated = corrupt("pixelate", noise, 5, 0)
    assert len(np.unique(pixelated.reshape(-1, 3), axis=0)) <= 20 * 20
    assert (corrupt("jpeg_compression", noise, 1, 0) != noise).mean() > 0.5


def test_all_kinds_differ_from_each_other() -> None:
    images = photographs(4)
    made = [corrupt(name, images, 4, 0) for name in CORRUPTIONS]
    assert len({image.tobytes() for image in made}) == len(CORRUPTIONS)
