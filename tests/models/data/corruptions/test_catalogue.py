"""Every kind of corruption: pure, seeded, for images of any size, and stronger with severity."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harmgauge_models.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt, corrupt_in_turn
from tests.support.photographs import photographs
from tests.support.toy import instances

NOT_MONOTONE = {"saturate", "elastic_transform", "frost", "snow", "spatter"}
"""Kinds whose published parameters change in nature with severity: less colour, then more; water, then mud; less ice
under a darker pane.
"""


def distance(corrupted: npt.NDArray[Any], images: npt.NDArray[Any]) -> float:
    return float(np.abs(corrupted.astype(int) - images).mean())


def test_there_are_the_nineteen() -> None:
    assert len(CORRUPTIONS) == 19


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_grows_with_severity_and_the_images_stay_as_they_were(name: str) -> None:
    images = photographs(16)
    before = images.copy()
    distances = []
    for severity in SEVERITIES:
        corrupted = CORRUPTIONS[name](images, severity, np.random.default_rng(0))
        assert corrupted.shape == images.shape
        assert corrupted.dtype == np.uint8
        distances.append(distance(corrupted, images))
    np.testing.assert_array_equal(images, before)
    assert distances[0] > 0
    if name not in NOT_MONOTONE:
        assert distances == sorted(distances)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_pixels(name: str) -> None:
    images = photographs(3)
    np.testing.assert_array_equal(corrupt(name, images, 3, seed=7), corrupt(name, images, 3, seed=7))
    seldom = corrupt(name, images, 3, seed=8)
    by_chance = name not in {
        "defocus_blur",
        "zoom_blur",
        "gaussian_blur",
        "brightness",
        "contrast",
        "pixelate",
        "jpeg_compression",
        "saturate",
    }
    assert (seldom != corrupt(name, images, 3, seed=7)).any() == by_chance
    assert (seldom[0] != seldom[1]).any() == by_chance


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("severity", [0, 6, -1])
def test_other_severities_are_refused(name: str, severity: int) -> None:
    with pytest.raises(ValueError, match="1 to 5"):
        CORRUPTIONS[name](photographs(1), severity, np.random.default_rng(0))


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize(("height", "width"), [(8, 8), (33, 47), (96, 64)])
@pytest.mark.parametrize("severity", [1, 5])
def test_images_of_any_size(name: str, height: int, width: int, severity: int) -> None:
    images = photographs(2, height, width)
    corrupted = corrupt(name, images, severity, 0)
    assert corrupted.shape == images.shape
    assert corrupted.dtype == np.uint8
    assert distance(corrupted, images) < 128


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_images_break_nothing(name: str, value: int) -> None:
    with np.errstate(all="raise", under="ignore"):
        corrupt(name, np.full((2, 16, 16, 3), value, np.uint8), 5, 0)


def test_unknown_kinds_and_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown corruption 'smoke': expected one of gaussian_noise, "):
        corrupt("smoke", photographs(1), 1)
    others: list[npt.NDArray[Any]] = [photographs(1).astype(np.float32), photographs(1)[0], photographs(1)[..., :1]]
    for images in others:
        with pytest.raises(ValueError, match="expected images of uint8 with shape"):
            corrupt("fog", images, 1)


def test_in_turn_is_seeded_and_names_the_kinds() -> None:
    images = instances(20, (32, 32, 3))
    corrupted, kinds = corrupt_in_turn(images, 3, 0)
    assert kinds == [*CORRUPTIONS, next(iter(CORRUPTIONS))]
    np.testing.assert_array_equal(corrupted, corrupt_in_turn(images, 3, 0)[0])
    assert (corrupted != images).any((1, 2, 3)).all()
    assert corrupt_in_turn(images[:3], 3, 0, ("snow", "fog"))[1] == ["snow", "fog", "snow"]
