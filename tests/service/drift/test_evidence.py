"""The sequential alarm: the exact recursion, its false alarms, its delays, and the effect of correlated traffic."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from harmgauge.drift import evidence
from harmgauge.drift.recent_clients import MEMORY_REQUESTS
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.state import Blocks, DriftState
from harmgauge_models.evaluation.alarms import Draw, rows_to_evidence_alarm
from tests.support.scores import Float64, clean, contaminated


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.lists(st.integers(1, 9), min_size=1, max_size=evidence.MAX_BLOCKS),
    tolerance=st.sampled_from([0.0, 0.01, 0.3]),
)
def test_many_blocks_at_once_are_the_recursion_block_by_block(seed: int, rows: list[int], tolerance: float) -> None:
    random = np.random.default_rng(seed)
    reference = np.sort(random.normal(size=200))
    gaps = evidence.Ranks(reference, random).gaps(random.normal(0.5, 1, sum(rows)))
    wealth = np.zeros((2, 16, 6))
    sizes = [max(1, round(201 / 2**level)) for level in range(1, 9)]
    urn, total, begin, expected = np.array([*sizes, *sizes], float), 201.0, 0, []
    bounds = beta.ppf(1 - 0.01 / 16, urn, 201 - urn)
    by_level = np.array([1, 1, 1, 2, 2, 2, 2, 2]) / 13
    weights = np.concatenate([0.8 * by_level, 0.2 * by_level])
    for count in rows:
        block = gaps[begin : begin + count]
        begin += count
        inside = np.array([sum(block >= 201 - size) for size in sizes] + [sum(block < size) for size in sizes], float)
        for kind, share in enumerate((urn / total, bounds)):
            allowed = share + tolerance * (1 - share)
            for stake_index, stake in enumerate(evidence.STAKES):
                column = wealth[kind, :, stake_index]
                wealth[kind, :, stake_index] = (column + count) * (1 - stake + stake * inside / count / allowed)
        urn += inside
        total += count
        expected.append(wealth.mean(axis=(0, 2)) @ weights)
    found, values = evidence.bet(
        evidence.start(200),
        evidence.hits(gaps, np.array(rows), 200),
        np.array(rows, float),
        evidence.Null.of(200, tolerance),
    )
    np.testing.assert_allclose(values, expected, rtol=1e-9)
    np.testing.assert_allclose(found.value, expected[-1], rtol=1e-9)
    np.testing.assert_allclose(found.wealth, wealth, rtol=1e-9)
    np.testing.assert_array_equal(found.counts, urn)
    assert found.rows == total


def test_ranks_without_ties_are_searchsorted_and_with_ties_uniform_among_equals() -> None:
    random = np.random.default_rng(0)
    reference = np.sort(random.normal(size=1000))
    scores = random.normal(size=500)
    np.testing.assert_array_equal(evidence.Ranks(reference, random).gaps(scores), np.searchsorted(reference, scores))
    tied = np.repeat([0.0, 1.0, 2.0], [10, 20, 10])
    gaps = evidence.Ranks(tied, random).gaps(np.full(20_000, 1.0))
    assert (gaps.min(), gaps.max()) == (10, 30)
    outside = evidence.Ranks(tied, random).gaps(np.array([-1.0, 0.5, 1.5, 3.0]))
    assert outside.tolist() == [0, 10, 30, 40]
    means = [evidence.Ranks(tied, np.random.default_rng(seed)).gaps(np.full(50, 1.0)).mean() for seed in range(200)]
    assert np.mean(means) == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("decimals", [None, 2, 1])
@pytest.mark.parametrize("reference_rows", [200, 2000])
def test_false_alarms_are_no_more_frequent_than_asked(reference_rows: int, decimals: int | None) -> None:
    """The mean run to a false alarm, over references as well as streams; rounded scores are nearly all ties."""

    def draw(random: np.random.Generator, rows: int) -> Float64:
        scores = random.normal(size=rows)
        return scores if decimals is None else np.round(scores, decimals)

    asked = 2000
    references = [np.sort(draw(np.random.default_rng(10_000 + seed), reference_rows)) for seed in range(80)]
    runs = rows_to_alarms(references, draw, asked, most_rows=2 * asked)
    assert np.mean(runs) >= asked, "cut off at twice what was asked, which only lowers the mean"
    first = rows_to_evidence_alarm(references[0], draw, asked, seed=0, most_rows=2 * asked)
    assert first == runs[0], "as one stream alone"


def rows_to_alarms(references: list[Float64], draw: Draw, threshold: float, *, most_rows: int) -> list[int]:
    """`rows_to_evidence_alarm` of each reference with its number as the seed: all streams are bet on together."""
    size, at_once = len(references[0]), evidence.MAX_BLOCKS
    randoms = [np.random.default_rng(seed) for seed in range(len(references))]
    ranks = [evidence.Ranks(reference, random) for reference, random in zip(references, randoms, strict=True)]
    state, null = evidence.start(size, (len(references),)), evidence.Null.of(size, 0)
    one, found = np.ones(at_once, np.intp), np.full(len(references), most_rows)
    for start in range(0, most_rows, 1024):
        gaps = [rank.gaps(draw(random, 1024)) for rank, random in zip(ranks, randoms, strict=True)]
        for at in range(0, 1024, at_once):
            inside = np.stack([evidence.hits(some[at : at + at_once], one, size) for some in gaps], axis=1)
            state, values = evidence.bet(state, inside, one.astype(float), null)
            reached = np.where(
                (values >= threshold).any(0), start + at + (values >= threshold).argmax(0) + 1, most_rows
            )
            found = np.minimum(found, reached)
    return [int(rows) for rows in found]


@pytest.fixture(scope="module")
def references() -> list[Float64]:
    return [np.sort(clean(np.random.default_rng(50_000 + seed), 20_000)) for seed in range(400)]


@pytest.mark.parametrize(("share", "delay"), [(0.05, 235), (0.1, 93), (0.2, 34), (0.5, 11)])
def test_delays_are_those_of_the_table(references: list[Float64], share: float, delay: float) -> None:
    """At 1e5 scores between false alarms, no tolerance, a reference of 20,000; one of 5,000 takes 5 to 11 % longer."""
    draw = contaminated(share)
    runs = [
        rows_to_evidence_alarm(reference, draw, 1e5, seed=seed, most_rows=20_000)
        for seed, reference in enumerate(references)
    ]
    assert np.mean(runs) == pytest.approx(delay, rel=0.15)


def state_of(detector: ScoreEvidence) -> DriftState:
    return asyncio.run(detector.state())


def bursts(random: np.random.Generator, count: int, rows: int = 20) -> Float64:
    """Requests whose rows are almost equal."""
    return np.repeat(random.normal(size=count), rows) + random.normal(0, 1e-3, count * rows)


def test_bursts_of_one_request_are_one_block_and_no_evidence() -> None:
    random = np.random.default_rng(0)
    reference = np.sort(random.normal(size=2000))
    together = ScoreEvidence(reference, 10_000, 0, seed=0)
    apart = ScoreEvidence(reference, 10_000, 0, seed=0)
    scores = bursts(random, 400)
    together.observe(Blocks.of(scores, rows=20))
    apart.observe(Blocks.of(scores, rows=1))
    assert state_of(together).state == "ok"
    assert state_of(apart).state == "drifting", "as single requests the same scores are an alarm"
    assert state_of(together).details["design_effect"] == pytest.approx(20, rel=0.2)


def test_a_client_counts_once_among_recent_requests() -> None:
    random = np.random.default_rng(1)
    reference = np.sort(random.normal(size=2000))
    scores = bursts(random, 400)
    clients = tuple(("", f"client {index // 20}") for index in range(len(scores)))
    rows = np.ones(len(scores), np.intp)
    counted, anonymous = (ScoreEvidence(reference, 10_000, 0, seed=0) for _ in range(2))
    for start in range(0, len(scores), 50):
        part = slice(start, start + 50)
        counted.observe(Blocks(scores[part], rows[part], clients[part]))
        anonymous.observe(Blocks(scores[part], rows[part], (None,) * 50))
    assert (state_of(counted).state, state_of(anonymous).state) == ("ok", "drifting")
    assert state_of(counted).rows == 400
    again = (
        Blocks(np.zeros(1), np.ones(1, np.intp), (("", "client 0"),)),
        Blocks.of(np.zeros(MEMORY_REQUESTS), 1),
    )
    counted.observe(again[1])
    counted.observe(again[0])
    assert state_of(counted).rows == 400 + MEMORY_REQUESTS + 1, "after this many others it counts again"


def test_the_alarm_stays_until_it_is_acknowledged_and_tells_the_direction() -> None:
    random = np.random.default_rng(2)
    reference = np.sort(clean(random, 2000))
    for shift, direction in ((5.0, "higher"), (1 / 50, "lower")):
        detector = ScoreEvidence(reference, 100_000, 0.01, seed=0)
        detector.observe(Blocks.of(clean(random, 500), 1))
        assert state_of(detector).state == "ok"
        detector.observe(Blocks.of(clean(random, 500) * shift, 1))
        drifting = state_of(detector)
        assert drifting.state == "drifting"
        assert drifting.details["direction"] == direction
        assert drifting.gauges["drift_direction"] == (1 if direction == "higher" else -1)
        for _ in range(20):
            detector.observe(Blocks.of(clean(random, 1000), 1))
        assert state_of(detector).state == "drifting", "latched"
        detector.reset()
        fresh = state_of(detector)
        assert (fresh.state, fresh.statistic, fresh.rows) == ("ok", 0, 0)


def test_tolerance_lets_a_little_contamination_pass() -> None:
    reference = np.sort(clean(np.random.default_rng(3), 5000))
    draw = contaminated(0.005)
    assert rows_to_evidence_alarm(reference, draw, 1e6, seed=0, most_rows=200_000, tolerance=0.01) == 200_000
    assert rows_to_evidence_alarm(reference, contaminated(0.05), 1e6, seed=0, most_rows=200_000, tolerance=0.01) < 5_000


def test_evidence_stays_a_number_for_ever() -> None:
    detector = ScoreEvidence(np.linspace(0, 1, 200), 1000, 0, seed=0)
    for _ in range(20):
        detector.observe(Blocks.of(np.full(2000, 5.0), 1))
    statistic = state_of(detector).statistic
    assert statistic is not None
    assert np.isfinite(statistic)


@pytest.mark.parametrize(
    ("between", "tolerance", "message"), [(99, 0, "too few"), (1000, 1, "not a share"), (1000, -0.1, "not a share")]
)
def test_nonsense_is_refused(between: int, tolerance: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScoreEvidence(np.linspace(0, 1, 200), between, tolerance)
