"""Bets on many sources at once are the bets on each of them, one block after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.drift.sources.runs import LONGEST_WAVE, MOST, Runs, bet


@settings(max_examples=30)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=200))
def test_waves_take_every_block_once_and_in_order(slots: list[int]) -> None:
    runs, own = Runs.of(np.sort(slots))
    assert own.tolist() == sorted(set(slots))
    taken: dict[int, list[int]] = {run: [] for run in range(len(own))}
    for run, block, exists in runs.waves():
        assert exists.shape[1] <= LONGEST_WAVE
        for row, number in enumerate(run.tolist()):
            taken[number] += block[row][exists[row]].tolist()
    assert [block for run in taken.values() for block in run] == list(range(len(slots)))


def test_it_is_the_recursion() -> None:
    random = np.random.default_rng(0)
    slots = np.sort(random.integers(0, 6, 400))
    rows = random.integers(1, 21, 400).astype(float)
    factor = random.choice([0.5, 0.9, 1.0, 1.2, 21.0], (400, 4), p=[0.3, 0.3, 0.2, 0.19, 0.01])
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    before = random.uniform(0, 100, (6, 4))
    runs, _ = Runs.of(slots)
    after, values = bet(before, factor, rows, runs, lambda wealth: wealth @ weights)
    wealth = before.copy()
    for number, slot in enumerate(slots):
        wealth[slot] = (wealth[slot] + rows[number]) * factor[number]
        np.testing.assert_allclose(values[number], wealth[slot] @ weights, rtol=1e-9)
    np.testing.assert_allclose(after, wealth, rtol=1e-9)


def test_wealth_stays_finite() -> None:
    factor = np.full((500, 2), [1e5, 0.3])
    runs, _ = Runs.of(np.zeros(500, np.intp))
    after, values = bet(np.zeros((1, 2)), factor, np.ones(500), runs, lambda wealth: wealth.mean(axis=-1))
    assert after[0, 0] == MOST
    assert np.isfinite(values).all()
    assert 0 < after[0, 1] < 1
