"""Splitting rows by time."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.periods import split


def test_counts_give_periods_of_as_many_rows_and_the_same_time_stays_together() -> None:
    times = np.random.default_rng(0).permutation(1000).astype(float)
    found = split(times, "4", "t")
    assert np.bincount(found.of).tolist() == [250] * 4
    assert found.names[0] == "0.0 to 249.0"
    assert (np.diff(found.of[np.argsort(times)]) >= 0).all()
    few = split(np.repeat([3, 1, 2], [700, 200, 100]), "3", "t")
    assert few.names == ("1 to 2", "3")


def test_texts_are_dates_if_all_are_or_else_names() -> None:
    dates = np.array(["2025-02-03T10:00:00", "2025-02-28", "2024-12-31"])
    assert split(dates, "month", "t").names == ("2024-12", "2025-02")
    assert split(dates, "quarter", "t").names == ("2024-10", "2025-01")
    names = split(np.array(["spring", "autumn", "spring"]), None, "t")
    assert names.names == ("autumn", "spring")
    assert names.of.tolist() == [1, 0, 1]


def test_without_periods_few_values_are_periods_and_many_are_ten() -> None:
    assert split(np.arange(24) % 12, None, "t").names == tuple(str(month) for month in range(12))
    assert len(split(np.arange(500), None, "t").names) == 10


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(UserError, match="no time for 1 rows"):
        split(np.array([1.0, np.nan]), "2", "t")
    with pytest.raises(UserError, match="expected a number, a date"):
        split(np.zeros((3, 2)), "2", "t")
    with pytest.raises(UserError, match="makes 1000 periods"):
        split(np.datetime64("2020-01-01") + np.arange(1000), "day", "t")
