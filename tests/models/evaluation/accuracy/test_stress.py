"""Rows unlike every disturbance: the effect of each kind of stress."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harmgauge.bundle.load import Bundle, load
from harmgauge.bundle.rows import Array
from harmgauge_models.evaluation.accuracy.stress import stress_copies
from harmgauge_models.evaluation.cases import Cases
from harmgauge_models.evaluation.measure import CLEAN, Copied
from harmgauge_models.evaluation.pictures import Pictures
from tests.support.toy import instances, toy_bundle


def cases(x: Array, *, of_pictures: bool) -> Cases:
    y = np.zeros(len(x), np.int64)
    return Cases(
        unit="pictures" if of_pictures else "rows",
        layout="pictures" if of_pictures else "table",
        y=y,
        places=np.arange(len(x)),
        sha256="",
        copies={CLEAN: Copied(lambda: x)},
        neighbours=None,
        timed=None,
        pictures=Pictures(x, y) if of_pictures else None,
    )


def made(bundle: Bundle, x: Array, *, of_pictures: bool, rows: npt.NDArray[np.intp]) -> dict[str, Array]:
    found = stress_copies(bundle, cases(x, of_pictures=of_pictures), rows, seed=3)
    return {name: copied.make() for (name, _), copied in found.items()}


def test_pictures_are_turned_inverted_mirrored_and_shuffled(image_bundle: Bundle) -> None:
    x = instances(9, image_bundle.manifest.input.shape)
    rows = np.array([2, 5, 7])
    found = made(image_bundle, x, of_pictures=True, rows=rows)
    for copy in found.values():
        assert copy.shape == x[rows].shape
        assert copy.dtype == np.uint8
    np.testing.assert_array_equal(found["turned_90"], np.rot90(x[rows], axes=(1, 2)))
    np.testing.assert_array_equal(found["turned_180"], x[rows][:, ::-1, ::-1])
    np.testing.assert_array_equal(found["upside_down"], x[rows][:, ::-1])
    np.testing.assert_array_equal(found["inverted"], 255 - x[rows])
    assert (found["noise"] != x[rows]).mean() > 0.9
    again = made(image_bundle, x, of_pictures=True, rows=rows)
    assert all((found[name] == again[name]).all() for name in found)


def test_shuffled_patches_are_the_same_patches(tmp_path: Path) -> None:
    bundle = load(toy_bundle(tmp_path, shape=(16, 16, 3)))
    x = instances(6, (16, 16, 3))
    found = made(bundle, x, of_pictures=True, rows=np.arange(6))["patches_shuffled"]
    for before, after in zip(x, found, strict=True):
        assert patches(before) == patches(after)
        assert (before != after).any()


def patches(picture: Array) -> Counter[bytes]:
    return Counter(
        picture[top : top + 4, left : left + 4].tobytes() for top in range(0, 16, 4) for left in range(0, 16, 4)
    )


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_rows_keep_their_dtype_and_range(vector_bundle_path: Path, dtype: str) -> None:
    random = np.random.default_rng(0)
    x = (random.normal(size=(50, 5)) * 9).astype(dtype)
    found = made(load(vector_bundle_path), x, of_pictures=False, rows=np.arange(40))
    assert set(found) == {"mirrored", "reversed", "columns_shuffled", "noise"}
    least, greatest = x[:40].min(0), x[:40].max(0)
    np.testing.assert_allclose(found["mirrored"], least + greatest - x[:40], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["reversed"], x[:40, ::-1])
    assert Counter(map(tuple, np.sort(found["columns_shuffled"], 1))) == Counter(map(tuple, np.sort(x[:40], 1)))
    assert all(copy.dtype == x.dtype for copy in found.values())
    assert ((found["noise"] >= least) & (found["noise"] <= greatest)).all()


def test_missing_values_stay_so_and_a_column_of_them_alone_does_no_harm(vector_bundle_path: Path) -> None:
    x = instances(50, (5,), "float32")
    x[:, 2] = np.nan
    x[4, 0] = np.nan
    found = made(load(vector_bundle_path), x, of_pictures=False, rows=np.arange(50))
    assert np.isnan(found["mirrored"][:, 2]).all()
    assert np.isnan(found["mirrored"][4, 0])
    assert np.isfinite(found["noise"]).all()
