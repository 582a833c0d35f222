"""The ring buffer of samples: the newest ones, in order, without unknown values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.page.history import TIME, History


@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=40), st.integers(1, 10), st.integers(1, 12) | st.none())
def test_it_is_a_list_cut_to_its_newest(values: list[float], capacity: int, most: int | None) -> None:
    history = History(["a", "b"], capacity)
    for time, value in enumerate(values):
        history.add(time + 0.9, {"a": value, "b": -value})
    kept = list(enumerate(values))[-min(capacity, most or capacity) :]
    newest = history.newest(most)
    assert newest[TIME].tolist() == [time for time, _ in kept], "whole seconds"
    assert newest["a"].tolist() == [value for _, value in kept]
    assert newest["b"].tolist() == [-value for _, value in kept]
    assert history.total == len(values)


def test_what_was_not_known_is_not_made_up() -> None:
    history = History(["a", "b"], 2)
    history.add(1, {"a": 1.0, "b": None})
    history.add(2, {"b": 2.0})
    newest = history.newest()
    np.testing.assert_array_equal(newest["a"], [1, np.nan])
    np.testing.assert_array_equal(newest["b"], [np.nan, 2])


def test_a_sample_handed_out_does_not_change_afterwards() -> None:
    history = History(["a"], 1)
    history.add(1, {"a": 1.0})
    newest = history.newest()
    history.add(2, {"a": 2.0})
    assert newest["a"].tolist() == [1]


def test_wrong_use_is_told() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        History(["a"], 0)
    history = History(["a"], 3)
    with pytest.raises(KeyError, match="typo"):
        history.add(1, {"typo": 1.0})
    assert history.total == 0


def test_time_goes_on_where_the_clock_was_set_back() -> None:
    history = History(["a"], 3)
    for time in (100.0, 40.0, 41.0, 120.5):
        history.add(time, {})
    np.testing.assert_array_equal(history.newest()[TIME], [101, 102, 120])
