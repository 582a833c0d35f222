"""The ring buffer compared with a deque."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.drift.window import Window


@given(
    capacity=st.integers(2, 20),
    blocks=st.lists(st.lists(st.floats(-10, 10, width=32), max_size=50), max_size=20),
)
def test_holds_the_newest_scores_oldest_first(capacity: int, blocks: list[list[float]]) -> None:
    window, expected = Window(capacity), deque[float](maxlen=capacity)
    for block in blocks:
        window.extend(np.array(block, np.float32))
        expected.extend(block)
        assert window.snapshot().tolist() == list(expected)
        assert window.rows == len(expected)
    assert window.total == sum(map(len, blocks))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_enters(bad: float) -> None:
    window = Window(5)
    window.extend(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="non-finite"):
        window.extend(np.array([3.0, bad]))
    assert window.snapshot().tolist() == [1.0, 2.0]


def test_a_window_that_compares_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Window(1)


def test_a_snapshot_is_a_copy() -> None:
    window = Window(2)
    window.extend(np.array([1.0, 2.0]))
    snapshot = window.snapshot()
    window.extend(np.array([3.0]))
    assert snapshot.tolist() == [1.0, 2.0]
