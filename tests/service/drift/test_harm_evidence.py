"""The bets on the mean of P(wrong): the exact recursion, a fair game, rare false alarms, short delays."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harmgauge.drift import harm_evidence as evidence
from tests.support.harm_streams import BASE, BOUND, Float64, Run, chances, run, stream


def sequential(wealth: Float64, mean: float, rows: int, bound: float) -> Float64:
    """One request: the reference for the vectorised function."""
    return np.minimum((wealth + rows) * (1 + evidence.STAKES * (mean / bound - 1)), evidence.MOST)


def bets(before: Float64, mean: Float64, rows: list[int], bound: float) -> tuple[Float64, Float64]:
    factor = evidence.factors(mean, bound)
    return evidence.bet(before, factor, np.array(rows, np.intp), evidence.blocks_at_once(bound))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.lists(st.integers(1, 40), min_size=1, max_size=700),
    bound=st.floats(evidence.LEAST_BOUND, 0.999),
    level=st.floats(0, 2),
    before=st.sampled_from([0.0, 1.0, 1e9]),
)
@example(seed=0, rows=[1] * 700, bound=0.09, level=0, before=1e9)
@example(seed=0, rows=[1] * 700, bound=0.999, level=1, before=0)
def test_many_requests_at_once_are_the_recursion_request_by_request(
    seed: int, rows: list[int], bound: float, level: float, before: float
) -> None:
    """Means of P around `level` times the bound, so that the evidence stays below the cap."""
    random = np.random.default_rng(seed)
    mean = np.minimum(1, random.uniform(0, 2 * level * bound, len(rows)))
    wealth, expected = np.full(6, before), []
    for one, count in zip(mean, rows, strict=True):
        wealth = sequential(wealth, one, count, bound)
        expected.append(wealth.mean())
    found, values = bets(np.full(6, before), mean, rows, bound)
    if max(expected) < evidence.MOST / 10:
        np.testing.assert_allclose(values, expected, rtol=1e-9)
        np.testing.assert_allclose(found, wealth, rtol=1e-9)


@pytest.mark.parametrize("bound", [evidence.LEAST_BOUND, 1e-3, 0.09, 0.999])
def test_no_traffic_makes_the_evidence_anything_but_a_number(bound: float) -> None:
    """Thousands of rows all wrong, all right, and all wrong again, in requests of up to a million rows."""
    rows = [1, 1_000_000] * 1500
    wealth = np.zeros(6)
    for level in (1.0, 0.0, 1.0):
        wealth, values = bets(wealth, np.full(len(rows), level), rows, bound)
        assert np.isfinite(values).all()
        assert np.isfinite(wealth).all()
        assert ((wealth > 0) & (wealth <= evidence.MOST)).all()
    least = np.zeros(6)
    for _ in range(50):
        least = sequential(least, 0, 1, bound)
    assert bets(np.zeros(6), np.zeros(3000), [1] * 3000, bound)[0].min() == pytest.approx(least[-1], rel=1e-6)


@pytest.mark.parametrize("rows", [[1] * 10, [1, 7, 2, 20, 1, 3, 11, 1]])
def test_the_game_is_fair_at_the_bound(rows: list[int]) -> None:
    """Over all 2^k streams whose P is 0 or twice the bound with equal probability, the mean evidence is the rows so
    far.
    """
    streams = [bets(np.zeros(6), np.array(stream), rows, 0.09)[1] for stream in product([0.0, 0.18], repeat=len(rows))]
    np.testing.assert_allclose(np.mean(streams, axis=0), np.cumsum(rows), rtol=1e-12)


def test_the_mean_of_a_request_is_that_of_its_own_rows() -> None:
    p = np.random.default_rng(0).random(23).astype(np.float32)
    rows = np.array([1, 5, 2, 15])
    expected = [part.astype(np.float64).mean() for part in np.split(p, np.cumsum(rows)[:-1])]
    np.testing.assert_allclose(evidence.means(p, rows), expected, rtol=1e-12)
    np.testing.assert_array_equal(evidence.means(p, np.ones(23, np.intp)), p.astype(np.float64))


def test_the_logs_add_up_to_a_single_gamblers_wealth() -> None:
    """The sum over the replicas of a fleet is the wealth of one gambler who bets on all requests, in any order."""
    random = np.random.default_rng(0)
    factor = evidence.factors(chances(random, 300, 0.12), BOUND)
    gain, loss = evidence.logs(factor)
    np.testing.assert_allclose(np.exp(gain - loss), factor.prod(axis=0), rtol=1e-9)
    assert (gain > 0).all()
    assert (loss > 0).all()
    parts = sum(evidence.logs(part) for part in np.split(factor, [7, 100]))
    np.testing.assert_allclose(parts, [gain, loss], rtol=1e-12)
    assert (evidence.logs(evidence.factors(np.array([BOUND, 1.0]), BOUND))[1] == 0).all(), "none is negative"


@pytest.mark.parametrize("largest", [1, 20])
def test_false_alarms_at_the_very_bound_are_as_seldom_as_promised(largest: int) -> None:
    """P(alarm within n rows) <= n / A = .2, at the least favourable mean; measured .17 (single rows), .10 (blocks)."""
    alarms = np.mean([stream(seed, BOUND, 20_000, largest=largest).rows is not None for seed in range(200)])
    assert 0.04 <= alarms <= 0.2


def shifting(seed: int, rows: int) -> Float64:
    """Traffic whose P changes all the time, with a mean that is never above the bound."""
    random = np.random.default_rng(seed)
    means = random.choice([0.0005, 0.02, BASE, 0.999 * BOUND], rows // 50)
    return np.concatenate([chances(random, 50, mean) for mean in means])


def test_harmless_drift_is_no_alarm() -> None:
    """Whatever changes, as long as the mean of P does not exceed the bound."""
    runs = [run(shifting(seed, 20_000), np.ones(20_000, np.intp), 1e5) for seed in range(20)]
    assert all(found.rows is None for found in runs)
    clean = [stream(seed, BASE, 20_000) for seed in range(40)]
    assert all(found.rows is None for found in clean), "a drop below the tolerance"


@pytest.mark.parametrize("largest", [1, 20])
def test_an_owner_who_acknowledges_at_the_worst_moments_gets_no_more_false_alarms(largest: int) -> None:
    """The evidence is reset whenever it has fallen to a tenth of its peak: the guarantee still holds."""

    def resetting(seed: int) -> int:
        random = np.random.default_rng(seed)
        sizes = random.integers(1, largest + 1, 20_000 // ((largest + 1) // 2))
        factor = evidence.factors(evidence.means(chances(random, int(sizes.sum()), BOUND), sizes), BOUND)
        wealth, peak, alarms = np.zeros(6), 0.0, 0
        for start in range(0, len(sizes), 10):
            wealth, values = evidence.bet(wealth, factor[start : start + 10], sizes[start : start + 10], 10)
            peak = max(peak, float(values.max()))
            alarms += peak >= 1e4
            if peak >= 1e4 or values[-1] < peak / 10:
                wealth, peak = np.zeros(6), 0.0
        return alarms

    counts = [resetting(seed) for seed in range(20)]
    assert np.mean(counts) <= 20_000 / 1e4


DELAYS = [(1, 0.055, 500), (1, 0.075, 250), (1, 0.15, 75), (1, 0.3, 30), (20, 0.055, 900), (20, 0.3, 140)]


@pytest.mark.parametrize(("largest", "drop", "most"), DELAYS)
def test_harm_is_noticed_soon(largest: int, drop: float, most: float) -> None:
    """Mean rows until the alarm. Measured in 60 streams: 383, 165, 44, 16 in single rows; 658, 104 in blocks."""
    runs = [stream(seed, BASE + drop, 6000, largest=largest) for seed in range(40)]
    assert all(found.rows is not None for found in runs)
    assert np.mean([found.rows or 0 for found in runs]) <= most


def test_large_requests_are_one_observation() -> None:
    """A hundred copies of one row are no more evidence than the row, except for the rows that join."""
    p = chances(np.random.default_rng(0), 40, 0.2)
    once: Run = run(p, np.ones(40, np.intp), 1e15)
    copies = run(np.repeat(p, 100), np.full(40, 100), 1e15)
    assert copies.highest == pytest.approx(100 * once.highest)
