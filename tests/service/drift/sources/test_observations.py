"""Rows within an interval are one observation."""

from __future__ import annotations

import numpy as np

from harmgauge.drift.sources.columns import HALF_LINES
from harmgauge.drift.sources.observations import Merger, Observations


def found(slots: list[int], rows: list[int], errors: list[float]) -> Observations:
    hits = np.array(rows, float)[:, None] * np.ones(HALF_LINES)
    return Observations(np.array(slots), np.array(rows, float), hits, np.array(errors))


def test_rows_of_one_interval_are_one_observation() -> None:
    merger = Merger(10.0, 5, with_errors=True)
    first = merger.add(found([0, 0, 1, 0], [1, 3, 2, 4], [0.1, 0.5, 0.9, 0.2]), np.array([0.0, 5, 6, 10]))
    assert (first.slots.tolist(), first.rows.tolist()) == ([0], [4]), "from 0 to 5; the one at 10 begins another"
    assert first.errors is not None
    assert first.errors.tolist() == [(0.1 + 3 * 0.5) / 4]
    assert (first.hits == 4).all()
    second = merger.add(found([1, 0], [1, 1], [0.3, 0.4]), np.array([16.0, 25.0]))
    assert (second.slots.tolist(), second.rows.tolist()) == ([0, 1], [4, 2])
    assert not len(merger.over(24.0).slots)
    over = merger.over(26.0)
    assert (over.slots.tolist(), over.rows.tolist()) == ([1], [1])
    merger.forget(np.array([0]))
    assert not len(merger.over(1000.0).slots)


def test_order_within_a_source_is_kept() -> None:
    merger = Merger(1.0, 2, with_errors=False)
    rows = list(range(1, 9))
    given = Observations(np.zeros(8, np.intp), np.array(rows, float), np.zeros((8, HALF_LINES)), None)
    complete = merger.add(given, np.arange(8, dtype=float))
    assert complete.rows.tolist() == rows[:-1]
    assert complete.errors is None
