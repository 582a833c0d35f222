"""`build` writes sketches of its calibration rows, which the service reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harmgauge.bundle.load import load
from harmgauge.drift.columns import columns
from harmgauge.settings import Settings
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


def test_pictures_have_sketches_of_predicted_classes_only(tmp_path: Path) -> None:
    bundle = load(toy_bundle(tmp_path))
    assert bundle.sketches is not None
    assert not len(bundle.sketches.positions)
    assert bundle.sketches.has_predictions
    np.testing.assert_array_equal(bundle.sketches.flags, 0)
