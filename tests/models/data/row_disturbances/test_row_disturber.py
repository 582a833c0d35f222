"""Every family of disturbances on rows of every layout: what it changes and what it never changes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import Layout, find_columns
from harmgauge_models.data.row_disturbances import RowDisturber, families, make_pool
from harmgauge_models.data.row_disturbances.sparse import SPARSE
from harmgauge_models.data.row_disturbances.table import TABLE
from tests.models.data.row_corruptions.rows import LAYOUTS, ROWS, table

ROW_LAYOUTS = {name: x for name, (x, layout) in LAYOUTS.items() if layout != "pictures"}
EVERY: list[Layout] = ["table", "series", "tokens", "sparse"]
PAIRS = [(name, family) for name in ROW_LAYOUTS for family in families(LAYOUTS[name][1])]
MAY_DO_NOTHING = {"emptied", "missing", "rounded", "clipped", "other_column", "misread"}
"""Families that may not change whole numbers, flags, zeros and similar values."""


def disturber(x: Array, *, layout: Layout | None = None, missing: bool = False) -> RowDisturber:
    return RowDisturber(make_pool(x, find_columns(x, layout), missing=missing))


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def changed_rows(made: Array, x: Array) -> float:
    return float((made != x).reshape(len(x), -1).any(1).mean())


@pytest.mark.parametrize(("name", "family"), PAIRS)
def test_every_family_changes_rows_of_its_layout(name: str, family: str) -> None:
    x = ROW_LAYOUTS[name]
    before = x.copy()
    disturb = disturber(x)
    made, tags = disturb(x, seeded(), [family])
    np.testing.assert_array_equal(x, before, err_msg="what is given stays as it is")
    assert (made.dtype, made.shape) == (x.dtype, x.shape)
    assert np.isfinite(made).all()
    assert changed_rows(made, x) > (0.3 if family in MAY_DO_NOTHING or name == "sparse" else 0.6)
    assert set(np.unique(tags)) <= {-1, disturb.families.index(family)}
    assert (tags[:, 0] >= 0).all()
    assert 0.15 < (tags[:, 1] >= 0).mean() < 0.45, "some rows go through two"
    if x.dtype.kind == "i":
        assert made.min() >= 0 or x.min() < 0, "what is never below 0 stays so"
    if name == "tokens":
        assert x.min() <= made.min() <= made.max() <= x.max(), "ids are of the vocabulary"


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_kind_alone_changes_all_rows_in_the_same_places(name: str, kind: str) -> None:
    x = ROW_LAYOUTS[name]
    before = x.copy()
    disturb = disturber(x)
    assert kind in disturb.kinds
    changed = []
    for strength in (0.25, 1.0):
        made = disturb.alone(x, seeded(), kind, strength)
        np.testing.assert_array_equal(made, disturb.alone(x, seeded(), kind, strength), err_msg="the same seed")
        assert (made.dtype, made.shape) == (x.dtype, x.shape)
        assert np.isfinite(made).all()
        changed.append((made != x).reshape(len(x), -1).any(0).sum())
    np.testing.assert_array_equal(x, before, err_msg="what is given stays as it is")
    width = x.reshape(len(x), -1).shape[1]
    everywhere = disturb.kinds.index(kind) >= len(TABLE) if name == "series" else kind in SPARSE and name == "sparse"
    assert changed[0] <= max(1, round(width / 16)) or everywhere
    assert changed[1] > changed[0] or kind in MAY_DO_NOTHING or everywhere or width < 4


@pytest.mark.parametrize("name", ROW_LAYOUTS)
def test_the_same_seed_gives_the_same_rows(name: str) -> None:
    x = ROW_LAYOUTS[name]
    disturb = disturber(x)
    (made, tags), (again, same_tags), (other, _) = (disturb(x, seeded(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(tags, same_tags)
    assert (made != other).any()
    assert set(np.unique(tags)) == {-1, *range(len(disturb.families))}, "all of them come"


def test_a_row_without_a_tag_of_a_family_never_went_through_it() -> None:
    """Placeholders are found only in rows tagged with a placeholder's family."""
    x = table("float64")
    disturb = disturber(x)
    made, tags = disturb(np.repeat(x, 20, axis=0), seeded())
    untouched = ~np.isin(tags, [disturb.families.index(name) for name in ("constant", "missing")]).any(1)
    placeholder = (made == -999.0).any(1)
    assert placeholder.any()
    assert not (placeholder & untouched).any()


def test_columns_change_alone_or_together() -> None:
    x = LAYOUTS["embedding"][0]
    made, _ = disturber(x)(x, seeded(), ["offset"])
    changed = (made != x).sum(1)
    assert (changed == 1).mean() > 0.15
    assert (changed == x.shape[1]).mean() > 0.1
    assert ((changed > 1) & (changed < x.shape[1])).mean() > 0.2


@pytest.mark.parametrize("name", ["table", "embedding", "series", "sparse"])
def test_only_an_input_that_takes_missing_values_gets_some(name: str) -> None:
    x = ROW_LAYOUTS[name]
    with_gaps = disturber(x, missing=True)
    made, _ = with_gaps(x, seeded())
    assert np.isnan(made).any() == ("missing" in with_gaps.families)
    gaps = np.where(seeded().random(x.shape) < 0.2, np.nan, x).astype(x.dtype)
    again, _ = disturber(gaps, missing=True)(gaps, seeded())
    assert not np.isinf(again).any()
    assert np.isfinite(again).mean() > 0.5, "most values are still known"


@pytest.mark.parametrize("axis", [1, 2])
def test_a_series_is_disturbed_along_its_time(axis: int) -> None:
    x = LAYOUTS["series"][0]
    x = x if axis == 1 else np.ascontiguousarray(x.transpose(0, 2, 1))
    disturb = disturber(x)
    once = disturb(x, seeded(), ["turned"])
    made, tags = once
    alone = tags[:, 1] < 0
    np.testing.assert_array_equal(made[alone], np.flip(x, axis)[alone])
    np.testing.assert_array_equal(made[~alone], x[~alone], err_msg="twice backwards is forwards")


@pytest.mark.parametrize("family", ["smoothed", "dropped", "moved", "warped", "stuck"])
def test_a_missing_step_does_not_wipe_out_a_series(family: str) -> None:
    x = LAYOUTS["series"][0].copy()
    x[:, 3] = np.nan
    made, _ = disturber(x, missing=True)(x, seeded(), [family])
    assert np.isnan(made).mean() < 0.3
    assert np.isfinite(made[:, -1]).mean() > 0.7


@pytest.mark.parametrize("layout", EVERY)
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("constant", [False, True])
def test_narrow_and_constant_rows(layout: Layout, width: int, constant: bool) -> None:
    """With any stated layout."""
    x = seeded().integers(0, 90, (300, width))
    x = np.full_like(x, 7) if constant else x
    for rows in (x, x.astype(np.float32)):
        disturb = disturber(rows, layout=layout)
        for family in disturb.families:
            made, _ = disturb(rows, seeded(), [family])
            assert np.isfinite(made).all()


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        *itertools.product(["uint8", "int8", "int64", "uint64"], EVERY),
        *itertools.product(["float16", "float32", "float64"], ["table", "series", "sparse"]),
    ],
)
def test_values_at_the_end_of_a_dtype_do_not_wrap_around(dtype: str, layout: Layout) -> None:
    limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    x = seeded().choice(np.array([limits.min, limits.max // 2 if dtype[0] != "f" else 0, limits.max], dtype), (200, 16))
    disturb = disturber(x, layout=layout)
    for family in disturb.families:
        made, _ = disturb(x, seeded(), [family])
        assert np.isfinite(made).all()
        if family == "other_row" and layout == "table":
            known = np.isin(made, x)
            assert known.all() or dtype in ("int64", "uint64"), "nothing but values of other rows"


def test_a_value_that_does_not_change_keeps_all_its_digits() -> None:
    """64-bit ids are not all representable as real numbers."""
    x = seeded().integers(2**60, 2**62, (ROWS, 4))
    x[:, 0] = np.arange(ROWS) % 5
    made, _ = disturber(x, layout="table")(x, seeded(), ["offset"])
    assert 0.2 < (made == x).mean() < 0.8
    far = made != x
    assert (np.abs(made[far].astype(np.float64) - x[far]) >= 1).all()


@pytest.mark.parametrize("layout", ["table", "series"])
def test_numbers_may_be_as_large_as_their_type_allows(layout: Layout) -> None:
    """The difference of two of them may exceed float64."""
    x = np.array([[1.79769313e308, -1e292], [-1.79769313e308, 1e292]] * 4)
    made, _ = disturber(x, layout=layout)(x, seeded())
    assert np.isfinite(made).all()


@settings(max_examples=120)
@given(
    data=st.data(),
    layout=st.sampled_from(EVERY),
    dtype=st.sampled_from(["float16", "float32", "float64", "uint8", "int32", "int64"]).map(np.dtype),
    seed=st.integers(0, 5),
)
def test_any_rows_stay_what_the_input_takes(
    data: st.DataObject, layout: Layout, dtype: np.dtype[Any], seed: int
) -> None:
    whole = layout == "tokens" or dtype.kind in "iu"
    dtype = np.dtype("int64") if whole and dtype.kind == "f" else dtype
    real: dict[str, Any] = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    if dtype.itemsize == 8 and dtype.kind in "iu":
        # Whole numbers that float64 can represent, because rows are disturbed in float64; larger ids do not occur.
        real = {"min_value": 0 if dtype.kind == "u" else -(2**53), "max_value": 2**53}
    shape = data.draw(stn.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=12))
    x = data.draw(stn.arrays(dtype, shape, elements=stn.from_dtype(dtype, **real)))
    made, tags = disturber(x, layout=layout)(x, seeded(seed))
    assert (made.dtype, made.shape, tags.shape) == (x.dtype, x.shape, (len(x), 2))
    assert np.isfinite(made).all()
    if layout == "tokens":
        assert x.min() <= made.min()
        assert made.max() <= x.max()
