"""The file with the sketches of columns: read as written, and refused if its parts do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harmgauge.bundle.order_statistics import Boundaries
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.served_input import InputSpec
from harmgauge.bundle.sketches import MAX_FLAGS, OTHER, Sketches, read_sketches
from harmgauge.errors import BundleError
from harmgauge_models.calibration.sketches import sketches_of
from tests.support.column_streams import FILE, row_columns

ROW = row_columns(4, missing=True)


def some_sketches() -> Sketches:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4))
    x[:, 1] = x[:, 1] > 0
    x[random.random(300) < 0.1, 2] = np.nan
    x[:, 3] = np.nan
    return sketches_of(x, random.integers(0, 3, 300), ROW)


def test_sketches_are_read_as_written() -> None:
    made = some_sketches()
    found = read_sketches(FILE, made.npz(), ROW, classes=3)
    for name, value in vars(made).items():
        for own, other in (
            [(value, getattr(found, name))]
            if not isinstance(value, Boundaries)
            else [
                (value.values, getattr(found, name).values),
                (value.jitters, getattr(found, name).jitters),
                (value.rows, getattr(found, name).rows),
            ]
        ):
            np.testing.assert_array_equal(own, other)


def test_kinds_of_columns() -> None:
    made = some_sketches()
    assert made.positions.tolist() == [0, 1, 2, 3]
    assert made.numbers.tolist() == [0, 2]  # the last one is always missing, the second a flag
    codes = {at: made.codes[made.flags == at].tolist() for at in range(5)}
    assert [len(codes[at]) for at in range(5)] == [1, 4, 1, 1, 4]
    assert codes[4] == [0.0, 1.0, 2.0, OTHER]
    assert made.number_bounds.rows.tolist() == [
        300,
        np.sum(made.flag_bounds.rows[:1] - made.flag_counts[made.flags == 2]),
    ]


def test_pictures_have_a_sketch_of_their_predicted_classes_only() -> None:
    random = np.random.default_rng(0)
    row = RowColumns(InputSpec(dtype="uint8", shape=(8, 8, 3)))
    made = sketches_of(random.integers(0, 256, (200, 8, 8, 3), np.uint8), random.integers(0, 50, 200), row)
    assert not len(made.positions)
    assert len(made.flags) == 32
    assert made.flag_counts.sum() == 200
    assert read_sketches(FILE, made.npz(), row, classes=50).has_predictions


def test_wide_tables_are_cut_and_flags_are_bounded() -> None:
    random = np.random.default_rng(0)
    said: list[str] = []
    x = random.normal(size=(200, 300))
    x[:, ::2] = x[:, ::2] > 0
    row = row_columns(300, missing=True)
    made = sketches_of(x, random.integers(0, 2, 200), row, say=said.append)
    assert len(made.positions) == 200
    assert len(made.flags) <= MAX_FLAGS
    assert said == ["of 300 columns, the first 200 are monitored one by one"]
    read_sketches(FILE, made.npz(), row, classes=2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda made: replace(made, positions=made.positions + 1),
        lambda made: replace(made, positions=made.positions[::-1].copy()),
        lambda made: replace(made, positions=made.positions.astype(np.int32)),
        lambda made: replace(made, numbers=made.numbers[::-1].copy()),
        lambda made: replace(made, numbers=made.numbers + 9),
        lambda made: replace(made, flags=made.flags[::-1].copy()),
        lambda made: replace(made, ranges=made.ranges[:, ::-1].copy()),
        lambda made: replace(made, codes=np.zeros_like(made.codes)),
        lambda made: replace(made, codes=np.where(made.flags == 4, 17.0, made.codes)),
        lambda made: replace(made, flag_counts=made.flag_counts + 10_000),
        lambda made: replace(made, number_bounds=made.flag_bounds),
        lambda made: replace(made, flag_bounds=replace(made.flag_bounds, values=made.flag_bounds.values + 1)),
        lambda made: replace(made, number_bounds=replace(made.number_bounds, rows=made.number_bounds.rows * 0)),
        lambda made: replace(made, number_bounds=replace(made.number_bounds, jitters=made.number_bounds.jitters + 1)),
    ],
)
def test_sketches_that_do_not_fit_are_refused(spoil: Callable[[Sketches], Sketches]) -> None:
    with pytest.raises(BundleError, match="columns.npz contains no valid sketches"):
        read_sketches(FILE, spoil(some_sketches()).npz(), ROW, classes=3)


@pytest.mark.parametrize("data", [b"", b"PK", some_sketches().npz()[:-30]])
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match="columns.npz contains no valid sketches"):
        read_sketches(FILE, data, ROW, classes=3)
