"""The layout of rows is detected correctly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import JUDGED_ROWS, KINDS, Layout, find_columns
from tests.models.data.row_corruptions.rows import LAYOUTS, ROWS, table

SHAPES = stn.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=20)
DTYPES = st.sampled_from(["float16", "float32", "float64", "uint8", "int8", "int32", "int64", "uint64"]).map(np.dtype)
REAL: dict[str, Any] = {"allow_nan": True, "allow_infinity": False}


def vectors(steps: int) -> Array:
    """Smooth curves along one axis."""
    phase = np.random.default_rng(0).uniform(0, 6, (ROWS, 1))
    return np.sin(np.linspace(0, 6, steps) + phase).astype(np.float32)


def texts(dtype: str = "int64") -> Array:
    """Bytes of words, padded with 0."""
    random = np.random.default_rng(6)
    words = [bytes(random.integers(97, 123, random.integers(2, 9)).astype(np.uint8)).title() for _ in range(200)]
    lines = [b" ".join(random.choice(words, 20))[: random.integers(30, 64)] for _ in range(ROWS)]
    return np.stack([np.frombuffer(line.ljust(64, b"\0"), np.uint8) for line in lines]).astype(dtype)


def frequency_sorted() -> Array:
    """Ids sorted by the frequency of the words, so that most are small."""
    return np.asarray(np.minimum(np.random.default_rng(7).zipf(1.4, (ROWS, 30)), 5000), np.int64)


def readings() -> Array:
    """Whole numbers that a sensor measures one after another."""
    return np.asarray(np.rint(1000 + 500 * vectors(60)), np.int32)


FURTHER: dict[str, tuple[Array, Layout]] = {
    "whole numbers of 64 bits": (table("int64"), "table"),
    "a smooth vector": (vectors(40), "series"),
    "a short smooth vector": (vectors(8), "table"),
    "readings": (readings(), "series"),
    "two axes": (np.random.default_rng(8).normal(size=(ROWS, 3, 50)), "series"),
    "a small matrix": (np.random.default_rng(8).normal(size=(ROWS, 3, 4)), "table"),
    "bytes": (texts("uint8"), "tokens"),
    "bytes in 64 bits": (texts(), "tokens"),
    "ids by frequency": (frequency_sorted(), "tokens"),
    "colours first": (np.random.default_rng(9).random((ROWS, 3, 8, 8)), "pictures"),
    "one number": (table()[:, :1], "table"),
    "counts of words": (np.random.default_rng(10).poisson(0.05, (ROWS, 80)), "sparse"),
}


@pytest.mark.parametrize("name", [*LAYOUTS, *FURTHER])
def test_every_layout_is_recognised(name: str) -> None:
    x, layout = (LAYOUTS | FURTHER)[name]
    found = find_columns(x)
    assert found.layout == layout
    assert found.shape == x.shape[1:]
    assert (found.time_axis is not None) == (layout == "series")


def test_the_steps_of_a_series_are_its_longest_axis() -> None:
    x = LAYOUTS["series"][0]
    assert find_columns(x).time_axis == 1
    assert find_columns(x.transpose(0, 2, 1)).time_axis == 2
    assert find_columns(x[:, None, :, 0]).time_axis == 2


def test_the_kinds_of_columns() -> None:
    expected = ["number", "number", "number", "code", "flag", "flag"]
    assert [KINDS[kind] for kind in find_columns(table()).kinds] == expected
    gaps = np.where(np.random.default_rng(0).random((ROWS, 6)) < 0.3, np.nan, table())
    found = find_columns(gaps)
    assert [KINDS[kind] for kind in found.kinds] == expected, "a missing value is of no kind"
    assert found.are("code").tolist() == [False, False, False, True, False, False]
    assert found.layout == "table"


def test_a_column_that_is_always_missing_is_no_obstacle() -> None:
    x = table()
    x[:, 2] = np.nan
    assert find_columns(x).are("flag")[2]


def test_what_is_known_is_not_judged_again() -> None:
    assert find_columns(LAYOUTS["embedding"][0], "sparse").layout == "sparse"


def test_many_rows_are_judged_by_some_of_them() -> None:
    x = np.tile(table(), (20, 1))
    assert len(x) > JUDGED_ROWS
    np.testing.assert_array_equal(find_columns(x).kinds, find_columns(table()).kinds)


@settings(max_examples=150)
@given(data=st.data())
def test_any_rows_are_of_some_layout(data: st.DataObject) -> None:
    dtype = data.draw(DTYPES)
    elements = stn.from_dtype(dtype, **(REAL if dtype.kind == "f" else {}))
    x = data.draw(stn.arrays(dtype, SHAPES, elements=elements))
    found = find_columns(x)
    assert found.kinds.shape == (x[0].size,)
    assert np.isin(found.kinds, range(len(KINDS))).all()
    if found.layout == "series":
        assert found.time_axis is not None
        assert x.shape[found.time_axis] >= 2
