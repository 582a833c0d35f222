"""Columns of rows as numbers: of arrays, and of inputs by name with categories, texts and lengths."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.column_values import MOST_ROWS, ColumnValues, picked
from harmgauge.bundle.inputs import Column, Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge.bundle.sketches import OTHER, Sketches, read_sketches
from harmgauge.errors import BundleError
from harmgauge_models.calibration.sketches import sketches_of
from tests.support.column_streams import FILE
from tests.support.toy_named import NUMBERS, STRINGS, WORDS, padded, table_inputs, table_rows, token_inputs, token_rows


def sketched(inputs: NamedInputs, arrays: dict[str, Array]) -> tuple[Sketches, ColumnValues]:
    """Sketches of these rows as a service reads them, and the reader of such rows."""
    row, rows = RowColumns(inputs), inputs.rows(arrays)
    made = sketches_of(rows, np.zeros(len(rows), np.int64), row, say=lambda _: None)
    found = read_sketches(FILE, made.npz(), row, classes=2)
    return found, ColumnValues(row, found)


def read(values: ColumnValues, rows: NamedRows) -> dict[str, list[float]]:
    found = values([rows], [np.zeros(len(rows), np.int64)])
    return dict(zip(values.names, found.T.tolist(), strict=True))


def test_a_table_by_name_has_numbers_categories_and_gaps() -> None:
    inputs = table_inputs()
    arrays = table_rows(600)
    arrays["age"][::10] = np.nan
    arrays["sex"][::5] = ""
    sketches, values = sketched(inputs, arrays)
    assert values.names == (*NUMBERS, *STRINGS, "predicted class")
    assert values.kinds == (*["number"] * len(NUMBERS), *["word"] * len(STRINGS), "prediction")
    assert sketches.words.tolist() == sorted(WORDS)
    assert np.count_nonzero(np.isnan(sketches.codes)) == 2  # age and sex
    sex = sketches.flags == values.names.index("sex")
    assert sketches.flag_counts[sex].sum() == 600  # 120 gaps, and each other value once
    rows = table_rows(3, seed=1)
    rows["age"][0], rows["fnlwgt"][0] = np.nan, 7.5
    rows["sex"][:] = [["Private"], [""], ["unheard of"]]
    found = read(values, inputs.rows(rows))
    assert np.isnan(found["age"][0])
    assert found["fnlwgt"][0] == 7.5
    np.testing.assert_array_equal(found["sex"], [sorted(WORDS).index("Private"), np.nan, -1])


def test_texts_count_as_their_characters() -> None:
    inputs = NamedInputs(inputs=(Input(name="message", dtype="string", shape=(1,), missing=True),))
    texts = np.array([[f"text number {at}" + "!" * (at % 7)] for at in range(300)], object)
    texts[:20] = ""
    sketches, values = sketched(inputs, {"message": texts})
    assert values.kinds == ("text", "prediction")
    assert sketches.ranges.tolist() == [[14, 21]]
    found = read(values, inputs.rows({"message": np.array([["four"], [""], ["x" * 500]])}))
    np.testing.assert_array_equal(found["message"], [4, np.nan, 500])


def test_token_ids_count_as_their_length() -> None:
    inputs = token_inputs()
    _, values = sketched(inputs, padded(token_rows(400)))
    assert values.names == ("length of input_ids", "predicted class")
    some = token_rows(5, seed=3)
    found = read(values, inputs.rows(padded(some)))
    assert found["length of input_ids"] == [len(row["input_ids"]) for row in some]


def test_declared_kinds_decide() -> None:
    kinds: dict[str, Any] = {"number": "number", "code": "category", "time": "time"}
    columns = tuple(Column(name=name, kind=kind) for name, kind in kinds.items())
    row = RowColumns(InputSpec(dtype="int32", shape=(3,), columns=columns))
    random = np.random.default_rng(0)
    x = np.column_stack([random.integers(0, 5, 300), random.integers(0, 5, 300), np.arange(300)]).astype(np.int32)
    made = sketches_of(x, np.zeros(300, np.int64), row)
    values = ColumnValues(row, made)
    assert values.names == ("number", "code", "predicted class")
    assert made.numbers.tolist() == [0]
    assert made.codes[made.flags == 1].tolist() == [0, 1, 2, 3, 4, OTHER]
    np.testing.assert_array_equal(values([x[:2]], [np.array([1, 0])]), np.column_stack([x[:2, :2], [1, 0]]))


def test_inputs_with_several_values_name_their_positions() -> None:
    inputs = NamedInputs(
        inputs=(
            Input(name="vector", dtype="float32", shape=(2,)),
            Input(name="vector[1]", dtype="float32", shape=()),
            Input(name="ids", dtype="int64", shape=(4,), vocabulary_size=9),
        )
    )
    random = np.random.default_rng(0)
    arrays: dict[str, Array] = {
        "vector": random.normal(size=(200, 2)).astype(np.float32),
        "vector[1]": random.normal(size=200).astype(np.float32),
        "ids": random.integers(0, 9, (200, 4)),
    }
    _, values = sketched(inputs, arrays)
    assert values.names == ("vector[0]", "vector[1]", "vector[1] (2)", "predicted class")


def test_many_categories_share_the_flags_that_there_are() -> None:
    columns = tuple(Column(name=str(at), kind="category") for at in range(60))
    row = RowColumns(InputSpec(dtype="float32", shape=(60,), columns=columns, missing=True))
    x = np.random.default_rng(0).integers(0, 50, (500, 60)).astype(np.float32)
    said: list[str] = []
    made = sketches_of(x, np.zeros(500, np.int64), row, say=said.append)
    read_sketches(FILE, made.npz(), row, classes=2)
    each = np.bincount(made.flags, minlength=61)
    assert each[:60].min() == 4  # missing, the two most frequent values, all others
    assert len(made.positions) == 60
    assert said == []


def test_of_a_large_request_rows_are_picked_evenly() -> None:
    x = np.arange(1000)[:, None]
    rows, classes = picked(x), picked(np.arange(1000))
    assert len(classes) == MOST_ROWS
    np.testing.assert_array_equal(rows, classes[:, None])
    assert set(np.diff(classes)) == {3, 4}
    assert picked(np.arange(5)).tolist() == [0, 1, 2, 3, 4]


def test_words_of_a_tampered_file_are_refused() -> None:
    row, rows = RowColumns(table_inputs()), table_inputs().rows(table_rows(300))
    made = sketches_of(rows, np.zeros(300, np.int64), row)
    arrays = dict(np.load(io.BytesIO(made.npz())))
    for spoil in (
        {"words": arrays["words"][:2]},
        {"words": np.repeat(arrays["words"][:1], len(WORDS))},
        {"words": np.array(["x" * 300])},
        {"words": arrays["codes"]},
    ):
        stream = io.BytesIO()
        np.savez(stream, **(arrays | spoil))
        with pytest.raises(BundleError, match="no valid sketches"):
            read_sketches(FILE, stream.getvalue(), row, classes=2)
