"""Shifted and mirrored images, in both layouts."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge.bundle.rows import Array
from harmgauge_models.data.augmentation import Augment, batches
from harmgauge_models.errors import UserError
from tests.support.toy import instances


def all_rows(x: Array, augment: Augment, seed: int = 0) -> Array:
    return np.concatenate([made for _, made in batches(x, 7, (seed, 0), augment)])


def test_an_epoch_has_every_row_once_and_is_its_seeds_own() -> None:
    x = np.arange(50, dtype=np.float32).reshape(50, 1)
    first = all_rows(x, Augment())
    assert sorted(first[:, 0]) == list(range(50))
    np.testing.assert_array_equal(first, all_rows(x, Augment()))
    assert (first != all_rows(x, Augment(), seed=1)).any()
    found = list(batches(x, 20, (0,), Augment()))
    assert [len(made) for _, made in found] == [20, 20, 10]
    for rows, made in found:
        np.testing.assert_array_equal(made, x[rows])


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_a_shifted_image_is_a_window_of_the_padded_one(layout: str) -> None:
    image = instances(1, (6, 5, 3))[0] + 1  # only the padding is 0
    image[image == 0] = 1
    shown = image if layout == "HWC" else image.transpose(2, 0, 1)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    windows = [padded[top : top + 6, left : left + 5] for top in range(5) for left in range(5)]
    seen = set()
    for made in all_rows(np.stack([shown] * 300), Augment(shift_pixels=2)):
        rows = made if layout == "HWC" else made.transpose(1, 2, 0)
        seen.add(next(index for index, window in enumerate(windows) if np.array_equal(window, rows)))
    assert len(seen) == 25, "every shift happens"


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_half_of_the_images_are_mirrored_left_to_right(layout: str) -> None:
    image = instances(1, (6, 5, 3))[0]
    mirror = image[:, ::-1]
    if layout == "CHW":
        image, mirror = image.transpose(2, 0, 1), mirror.transpose(2, 0, 1)
    x = np.stack([image] * 400)
    made = all_rows(x, Augment(flip=True))
    mirrored = [np.array_equal(row, mirror) for row in made]
    assert all(is_mirrored or np.array_equal(row, image) for row, is_mirrored in zip(made, mirrored, strict=True))
    assert 150 < sum(mirrored) < 250
    np.testing.assert_array_equal(x, np.stack([image] * 400), err_msg="the data itself stays")


def test_vectors_cannot_be_shifted() -> None:
    Augment().check((5,))
    Augment(shift_pixels=1, flip=True).check((8, 8, 3))
    with pytest.raises(UserError, match="--shift-pixels and --flip are for images"):
        Augment(flip=True).check((5,))
