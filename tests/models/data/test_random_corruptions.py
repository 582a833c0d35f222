"""The disturbances that a head is trained on: seeded, within range, of every strength."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge_models.data.random_corruptions import DISTURBANCES, disturb
from harmgauge_models.data.random_corruptions.shared import Disturbance, Pixels
from tests.support.photographs import photographs


def pixels(rows: int, height: int = 32, width: int = 32) -> Pixels:
    return (photographs(rows, height, width) / 255).astype(np.float32)


@pytest.mark.parametrize("change", DISTURBANCES, ids=lambda change: change.__name__)
@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (9, 21, 1)])
def test_each_changes_more_with_strength(change: Disturbance, height: int, width: int, channels: int) -> None:
    given = pixels(64, height, width)[..., :channels]
    before = given.copy()
    distances = []
    for strength in (0.02, 1.0):
        made = change(given, np.full((64, 1, 1, 1), strength, np.float32), np.random.default_rng(0))
        assert made.shape == given.shape
        assert np.isfinite(made).all()
        distances.append(np.abs(np.clip(made, 0, 1) - given).mean())
    np.testing.assert_array_equal(given, before)
    # One channel has no colours to mix, only a tint; a grid hardly coarser than the pixels moves them by one at once
    if change.__name__ != "coarsen" and (channels == 3 or change.__name__ != "colour"):
        assert distances[0] < distances[1]


def test_chains_are_seeded_and_stay_within_range() -> None:
    given = pixels(64)
    first, again, other = (disturb(given, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    distances = np.abs(first - given).mean((1, 2, 3))
    assert (distances > 0).mean() > 0.9
    assert np.quantile(distances, 0.9) > 4 * np.quantile(distances, 0.1)
    assert len(disturb(given[:0], np.random.default_rng(0))) == 0


def test_flat_pictures_break_nothing() -> None:
    for value in (0, 1):
        with np.errstate(all="raise", under="ignore"):
            disturb(np.full((64, 16, 16, 3), value, np.float32), np.random.default_rng(0))
