"""`build` writes sketches of its calibration rows, which the service reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harmgauge.bundle.image_spec import ImageSpec
from harmgauge.bundle.load import load
from harmgauge.bundle.picture_measures import MEASURES, measures_of
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.served_input import InputSpec
from harmgauge.drift.columns import columns
from harmgauge.settings import Settings
from harmgauge_models.calibration import monitored_columns
from harmgauge_models.calibration.sketches import sketches_of
from tests.support.textures import textures
from tests.support.toy import toy_bundle, toy_table_bundle


def test_a_table_has_sketches_of_its_columns_and_its_predicted_classes(tmp_path: Path) -> None:
    bundle = load(toy_table_bundle(tmp_path, columns=3))
    assert bundle.sketches is not None
    assert bundle.manifest.columns == "columns.npz"
    assert bundle.sketches.positions.tolist() == [0, 1, 2]
    assert bundle.sketches.numbers.tolist() == [0, 1, 2]
    assert bundle.sketches.has_predictions
    rows = len(bundle.reference.scores)
    assert bundle.sketches.number_bounds.rows.tolist() == [rows] * 3
    assert bundle.sketches.flag_counts.sum() == rows
    found = columns.from_bundle(bundle, Settings())
    assert found is not None
    assert found.names == ("0", "1", "2", "predicted class")


def test_pictures_have_sketches_of_their_measures_and_predicted_classes(tmp_path: Path) -> None:
    bundle = load(toy_bundle(tmp_path))
    assert bundle.sketches is not None
    pixels = 4 * 4 * 3
    assert bundle.sketches.positions.tolist() == list(range(pixels, pixels + 5))
    assert bundle.sketches.numbers.tolist() == list(range(5))
    assert bundle.sketches.has_predictions
    np.testing.assert_array_equal(bundle.sketches.flags, 5)
    assert bundle.manifest.input.image is not None
    with np.load(tmp_path / "calibration.npz") as calibration:
        expected = measures_of(calibration["x"], bundle.manifest.input.image)
    np.testing.assert_allclose(bundle.sketches.ranges, np.stack([expected.min(0), expected.max(0)], axis=1))
    found = columns.from_bundle(bundle, Settings())
    assert found is not None
    assert found.names == (*MEASURES, "predicted class")
    assert not found.values.reads_rows


def test_pictures_without_inner_pixels_have_sketches_of_predicted_classes_only(tmp_path: Path) -> None:
    bundle = load(toy_bundle(tmp_path, shape=(2, 6, 3)))
    assert bundle.sketches is not None
    assert not len(bundle.sketches.positions)


def test_of_many_pictures_a_part_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitored_columns, "MEASURED_ROWS", 150)
    row = RowColumns(
        InputSpec(dtype="uint8", shape=(8, 8, 1), image=ImageSpec(mode="L", layout="HWC", scale=1)),
    )
    found = sketches_of(textures(400, 8, 1), np.zeros(400, np.int64), row)
    assert found.number_bounds.rows.tolist() == [134] * 4
    assert found.flag_bounds.rows.tolist() == [400, 400]
