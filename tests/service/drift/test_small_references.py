"""Fixed bets beside the urn: small references and slow drift are seen, and the guarantee holds for both together."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge.drift import evidence
from harmgauge.drift.score_evidence import ScoreEvidence
from tests.bench.drift.small import slowly
from tests.bench.drift.streams import Streams, found_and_median
from tests.support.scores import clean


def test_a_small_reference_sees_ten_per_cent_which_the_urn_alone_does_not() -> None:
    streams = Streams(200, 0.1, 40, tolerance=0.01, most_rows=2500)
    found, _ = found_and_median(streams.rows_to_alarm())
    alone, _ = found_and_median(streams.rows_to_alarm(with_fixed=False))
    assert found > 0.6
    assert alone < 0.3


def test_confirmed_rows_make_a_small_reference_a_good_one() -> None:
    found, median = found_and_median(Streams(200 + 5000, 0.1, 60, tolerance=0.01).rows_to_alarm())
    assert found == 1
    assert median <= 260


def test_slow_drift_is_seen() -> None:
    found, median = found_and_median(Streams(5000, slowly, 24).rows_to_alarm())
    assert found == 1
    assert median < 7000


@pytest.mark.parametrize("reference_rows", [100, 500])
def test_false_alarms_are_within_the_guarantee(reference_rows: int) -> None:
    rows, count = 2000, 100
    highest = Streams(reference_rows, 0, count, most_rows=rows, seed=1).highest()
    for between in (5000, 20_000):
        assert np.mean(highest >= between) <= rows / between + evidence.ERROR


def test_stacked_streams_are_single_ones() -> None:
    random = np.random.default_rng(0)
    inside = (random.random((20, 3, 16)) < 0.2).astype(float)
    null, one = evidence.Null.of(300, 0.01), np.ones(20)
    together, values = evidence.bet(evidence.start(300, (3,)), inside, one, null)
    for stream in range(3):
        alone, own = evidence.bet(evidence.start(300), inside[:, stream], one, null)
        np.testing.assert_allclose(values[:, stream], own)
        np.testing.assert_allclose(together.wealth[stream], alone.wealth)
        np.testing.assert_array_equal(together.counts[stream], alone.counts)


def test_the_simulated_half_lines_are_those_of_the_ranks() -> None:
    random = np.random.default_rng(1)
    reference = np.sort(clean(random, 150))
    sizes = evidence.half_lines(150)
    scores = np.concatenate([clean(random, 200), reference])
    gaps = np.searchsorted(reference, scores)
    hits = evidence.hits(gaps, np.ones(len(scores), np.intp), 150)
    simulated = np.concatenate(
        [scores[:, None] > reference[150 - sizes], scores[:, None] <= reference[sizes - 1]], axis=1
    )
    np.testing.assert_array_equal(hits, simulated)


def test_ties_among_reference_scores_are_broken_alike_after_every_start() -> None:
    """Otherwise each start would be another draw of the reference, with another chance of bounds that do not hold."""
    reference, scores = np.repeat([0.0, 1.0], 100), np.linspace(-1, 2, 50)
    before, after = (ScoreEvidence(reference, 10_000, 0, seed=seed) for seed in (1, 2))
    assert before._ranks.gaps(scores).tolist() == after._ranks.gaps(scores).tolist()
    np.testing.assert_array_equal(before._ranks._places, after._ranks._places)
