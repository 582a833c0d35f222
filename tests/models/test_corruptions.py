"""The corruptions: pure, seeded, and worse with severity."""

from __future__ import annotations

import numpy as np
import pytest

from models.corruptions import CORRUPTIONS, corrupt_in_turn
from tests.toy import instances


def smooth_images(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    slope = np.linspace(40, 200, 32)
    image = (slope[:, None] + slope[None, :])[:, :, None] / 2 * np.array([1, 0.8, 0.6])
    image[::4] = 20
    return np.repeat(image.astype(np.uint8)[None], rows, 0)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity(name: str) -> None:
    images = smooth_images(4)
    before = images.copy()
    distances = []
    for severity in range(1, 6):
        corrupted = CORRUPTIONS[name](images, severity, np.random.default_rng(0))
        assert corrupted.shape == images.shape
        assert corrupted.dtype == np.uint8
        distances.append(np.abs(corrupted.astype(int) - images).mean())
    assert distances == sorted(distances)
    assert distances[0] > 0
    np.testing.assert_array_equal(images, before)


def test_noise_has_the_published_spread_and_contrast_keeps_the_mean() -> None:
    grey = np.full((4, 32, 32, 3), 128, np.uint8)
    noisy = CORRUPTIONS["gaussian_noise"](grey, 5, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(0.10 * 255, rel=0.05)
    images = smooth_images(2)
    flat = CORRUPTIONS["contrast"](images, 5, np.random.default_rng(0))
    np.testing.assert_allclose(flat.mean((1, 2)), images.mean((1, 2)), atol=1)
    assert flat.std() < images.std() / 2


def test_in_turn_is_seeded_and_names_the_kinds() -> None:
    images = instances(7, (32, 32, 3))
    corrupted, kinds = corrupt_in_turn(images, 3, 0)
    assert kinds == [*CORRUPTIONS, *CORRUPTIONS, next(iter(CORRUPTIONS))]
    np.testing.assert_array_equal(corrupted, corrupt_in_turn(images, 3, 0)[0])
    assert (corrupted != images).any((1, 2, 3)).all()
