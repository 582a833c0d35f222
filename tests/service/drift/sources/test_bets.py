"""Bets on one source: fair on average while nothing changes, whatever the luck of its baseline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.drift.sources import baseline, bets
from harmgauge.drift.sources.columns import HALF_LINES
from harmgauge.drift.sources.runs import Runs, bet

REQUESTS = 3
SHARES = 0.5 ** np.arange(1, 9)


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=20))
def test_stakes_grow_with_the_rows_that_a_request_is_worth(worth: list[float]) -> None:
    found = bets.staked(np.array([0.05, 0.4]), np.sort(worth))
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found <= bets.MOST_STAKED).all()
    np.testing.assert_allclose(bets.staked(np.array([0.3]), np.array([1.0, 2.0])), [[0.3], [0.51]])


@pytest.mark.parametrize("rows", [1, 8])
def test_evidence_of_change_is_at_most_the_rows_on_average(rows: int) -> None:
    """A source whose shares are those of the half-lines, at the edge of the null: no tolerance. The mean is over
    baselines and requests; rows of one request fall together, which is the worst for the mean of a request.
    """
    random, sources = np.random.default_rng(rows), 20_000
    shares = np.concatenate([SHARES, SHARES])
    near, far = baseline.table()
    hits = random.binomial(500, shares, (sources, HALF_LINES))
    bounds = np.stack([near[hits], far[hits]], axis=1)
    wealth = np.zeros((sources, bets.GAMBLERS))
    for _ in range(REQUESTS):
        means = (random.random((sources, HALF_LINES)) < shares).astype(float)
        factor = bets.change_factors(means, bounds, np.full(sources, float(rows)))
        wealth = (wealth + rows) * factor
    evidence = bets.change(wealth)
    error = evidence.std() / np.sqrt(sources)
    assert evidence.mean() <= REQUESTS * rows + 4 * error
    assert evidence.mean() + 4 * error > 0.3 * REQUESTS * rows, "and not far below"


def test_change_is_the_lesser_of_the_evidence_against_both_bounds() -> None:
    wealth = np.zeros((2, HALF_LINES, 3))
    wealth[0] = 10
    assert bets.change(wealth.reshape(-1)) == 0
    wealth[1] = 10 * baseline.WORTH[0] / baseline.WORTH[1]
    assert bets.change(wealth.reshape(-1)) == pytest.approx(10 * baseline.WORTH[0])
    wealth[1] *= 2
    assert bets.change(wealth.reshape(-1)) == pytest.approx(10 * baseline.WORTH[0])


def test_correlated_requests_are_bet_on_like_single_rows() -> None:
    """All rows of a request fall together: staked as if they were independent, a request without a hit would cost
    nearly all of the wealth.
    """
    random = np.random.default_rng(0)
    near, far = baseline.table()
    bounds = np.broadcast_to(np.stack([near[[31]], far[[31]]])[None], (200, 2, 1)) * np.ones((200, 2, HALF_LINES))
    means = np.repeat((random.random((200, 1)) < 0.4).astype(float), HALF_LINES, axis=1)
    runs, _ = Runs.of(np.zeros(200, np.intp))
    evidence = [
        bet(
            np.zeros((1, bets.GAMBLERS)),
            bets.change_factors(means, bounds, np.full(200, worth)),
            np.full(200, 20.0),
            runs,
            bets.change,
        )[1][-1]
        for worth in (1.0, 20.0)
    ]
    assert evidence[0] > 1e6
    assert evidence[1] < 1e4
