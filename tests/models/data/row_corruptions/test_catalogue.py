"""Properties of every corruption of every layout, and the columns that some of them change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harmgauge.bundle.rows import Array
from harmgauge_models.data.columns import find_columns
from harmgauge_models.data.row_corruptions import SEVERITIES, Corruptions
from harmgauge_models.data.row_corruptions.catalogue import SERIES, TOKENS
from tests.models.data.row_corruptions.rows import LAYOUTS, ROWS, sparse, table, tokens

NOT_BY_SIZE = {"time_warp", "units", "log_scale", "codes_permuted", "codes_unseen", "sentinel", "ids_shifted"}
"""Kinds that are stronger in other ways than by changing more values, or by more."""


def corruptions(x: Array, layout: str, **limits: Any) -> Corruptions:
    columns = find_columns(x)
    assert columns.layout == layout
    return Corruptions(x, columns, **limits)


def test_layouts_have_the_kinds_that_suit_them() -> None:
    found = {name: corruptions(*case).kinds for name, case in LAYOUTS.items()}
    assert set(found["series"]) == set(SERIES)
    assert set(found["tokens"]) == set(TOKENS)
    assert {"units", "codes_unseen", "swapped"} <= set(found["table"])
    assert "units" not in found["embedding"]
    assert all(len(kinds) >= 8 for kinds in found.values())


@pytest.mark.parametrize("case", LAYOUTS)
def test_every_kind_changes_rows_more_by_severity_and_keeps_shape_dtype_and_finiteness(case: str) -> None:
    x, layout = LAYOUTS[case]
    made = corruptions(x, layout)
    scale = np.maximum(x.reshape(ROWS, -1).astype(float).std(0), 0.1)
    for kind in made.kinds:
        sizes = []
        for severity in SEVERITIES:
            rows = made.make(kind, severity, seed=0)
            assert (rows.shape, rows.dtype) == (x.shape, x.dtype), kind
            assert np.isfinite(rows).all(), kind
            apart = np.abs(rows.astype(float) - x).reshape(ROWS, -1) / scale
            sizes.append((apart > 1e-6).mean() if layout == "tokens" else np.minimum(apart, 5).mean())
        assert sizes[4] > 0, kind
        if kind not in NOT_BY_SIZE:
            assert sizes[4] > sizes[0], (kind, sizes)


@pytest.mark.parametrize("case", LAYOUTS)
def test_the_seed_alone_decides(case: str) -> None:
    x, layout = LAYOUTS[case]
    first, second = (corruptions(x.copy(), layout) for _ in range(2))
    changed = 0
    for kind in first.kinds:
        np.testing.assert_array_equal(first.make(kind, 3, 7), second.make(kind, 3, 7))
        changed += not np.array_equal(first.make(kind, 3, 7), first.make(kind, 3, 8))
    assert changed
    assert np.array_equal(x, LAYOUTS[case][0]), "the clean rows stay as they are"


def test_values_stay_within_what_the_classifier_takes() -> None:
    made = corruptions(table(), "table", least=-100.0, greatest=400.0)
    for kind in made.kinds:
        rows = made.make(kind, 5, 0)
        assert rows.min() >= -100, kind
        assert rows.max() <= 400, kind


def test_missing_values_are_nan_only_if_the_classifier_takes_them() -> None:
    x = table()
    x[::5, 1] = np.nan
    made = corruptions(x, "table", missing=True)
    fresh = made.make("missing", 3, 0)
    assert np.isnan(fresh).sum() > np.isnan(x).sum()
    for kind in made.kinds:
        rows = made.make(kind, 5, 0)
        assert (rows.shape, rows.dtype) == (x.shape, x.dtype)
        assert np.isfinite(rows[~np.isnan(rows)]).all()
    np.testing.assert_array_equal(np.isnan(made.make("gaussian_noise", 5, 0)), np.isnan(x))
    zeros = corruptions(table(), "table").make("missing", 3, 0)
    assert ((zeros == 0) & (table() != 0)).any()


def test_arithmetic_leaves_categories_alone_and_codes_stay_codes() -> None:
    x = table()
    made = corruptions(x, "table")
    for kind in ("gaussian_noise", "units", "offset", "rounded", "saturated", "negated", "log_scale"):
        np.testing.assert_array_equal(made.make(kind, 5, 0)[:, 3:], x[:, 3:], kind)
    permuted = made.make("codes_permuted", 5, 0)
    np.testing.assert_array_equal(permuted[:, :3], x[:, :3])
    assert set(np.unique(permuted[:, 3])) <= set(range(7))
    assert set(np.unique(made.make("codes_unseen", 1, 0)[:, 3])) == set(range(8))


def test_units_are_factors_and_swapped_values_are_the_rows_own() -> None:
    x = table()
    made = corruptions(x, "table")
    factors = np.unique((made.make("units", 4, 0)[:, :3] / x[:, :3]).round(4))
    np.testing.assert_allclose(factors, [1 / 60, 1, 60], atol=1e-3)
    swapped = made.make("swapped", 5, 0)
    np.testing.assert_array_equal(np.sort(swapped, 1), np.sort(x, 1))
    assert (swapped != x).any(1).mean() > 0.9


def test_texts_are_cut_shifted_and_shuffled_as_texts() -> None:
    x = tokens()
    made = corruptions(x, "tokens")
    cut = made.make("truncated", 5, 0)
    assert ((cut != 1).sum(1) <= 4).all()
    shifted = made.make("padding_shifted", 5, 0)
    np.testing.assert_array_equal(shifted[:, 16:], x[:, :16])
    assert (shifted[:, :16] == 1).all()
    shuffled = made.make("shuffled", 5, 0)
    np.testing.assert_array_equal(np.sort(shuffled, 1), np.sort(x, 1))
    np.testing.assert_array_equal(shuffled == 1, x == 1)
    assert set(np.unique(made.make("typos", 5, 0))) <= set(np.unique(x))


def test_series_faults_are_those_of_time() -> None:
    x, layout = LAYOUTS["series"]
    made = corruptions(x, layout)
    reversed_stretch = made.make("reversed_stretch", 5, 0)
    np.testing.assert_allclose(np.sort(reversed_stretch, 1), np.sort(x, 1))
    warped = made.make("time_warp", 5, 0)
    np.testing.assert_allclose(warped[:, [0, -1]], x[:, [0, -1]], rtol=1e-5)
    held = made.make("coarse_steps", 2, 0)
    np.testing.assert_array_equal(held[:, 1], x[:, 0])
    channels_first = np.ascontiguousarray(x.transpose(0, 2, 1))
    other = corruptions(channels_first, layout)
    np.testing.assert_allclose(other.make("smoothed", 3, 0), made.make("smoothed", 3, 0).transpose(0, 2, 1), rtol=1e-5)


def test_dropped_entries_of_a_sparse_row_are_lost_and_no_others_change() -> None:
    x = sparse()
    rows = corruptions(x, "sparse").make("entries_dropped", 3, 0)
    np.testing.assert_array_equal(rows[rows != 0], x[rows != 0])
    assert 0.6 < (rows != 0).sum() / (x != 0).sum() < 0.8


def test_another_severity_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a severity of 1 to 5, got 6"):
        corruptions(table(), "table").make("gaussian_noise", 6, 0)


@pytest.mark.parametrize("columns", [1, 2])
def test_narrow_rows_do_as_well(columns: int) -> None:
    made = corruptions(table()[:, :columns], "table")
    for kind in made.kinds:
        assert np.isfinite(made.make(kind, 5, 0)).all(), kind
