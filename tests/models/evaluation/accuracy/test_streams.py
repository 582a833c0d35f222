"""Alarms in streams: seeded, equal to those of the detectors themselves, silent if nothing is lost."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from harmgauge.drift.harm import Harm
from harmgauge.drift.state import Blocks
from harmgauge_models.evaluation.accuracy.alarm_tables import SetAlarms, by_drop, by_floor, by_set, summary
from harmgauge_models.evaluation.accuracy.streams import MOST_REQUEST_ROWS, Alarms, request_sizes
from harmgauge_models.evaluation.work import Arrays
from tests.models.evaluation.accuracy.rows import judged

ROWS = 2000
BOUNDS = (0.22, 0.4)


@pytest.fixture(scope="module")
def alarms() -> Alarms:
    return Alarms(BOUNDS, judged(3000, 0.2, seed=8).scores, 0.01, 10_000)


def until(alarms: Alarms, mean: float, seed: int = 0, rows: int = ROWS) -> Arrays:
    return alarms.rows_until(judged(3000, mean, seed=9), streams=6, stream_rows=rows, seed=seed)


def test_harm_is_seen_soon_and_no_harm_is_not(alarms: Alarms) -> None:
    calm, bad = until(alarms, 0.2), until(alarms, 0.35)
    for traffic in ("single", "requests"):
        assert (calm[f"harm_{traffic}"] == ROWS + 1).all()
        assert (bad[f"harm_{traffic}"][0] < 400).all()
        assert (bad[f"harm_{traffic}"][1] == ROWS + 1).all(), "the mean of .35 lies below the second bound"
        assert (bad[f"evidence_{traffic}"] < 400).all()
        assert np.median(calm[f"evidence_{traffic}"]) == ROWS + 1
    assert bad["harm_single"][0].mean() < bad["harm_requests"][0].mean(), "requests are blocks, and take longer"


def test_the_same_seed_gives_the_same_streams_and_another_gives_others(alarms: Alarms) -> None:
    first, again, other = (until(alarms, 0.35, seed) for seed in (0, 0, 1))
    for name, rows in first.items():
        np.testing.assert_array_equal(rows, again[name])
    assert (first["harm_single"] != other["harm_single"]).any()


@pytest.mark.parametrize("mean", [0.35, 0.24])
def test_the_alarm_comes_at_the_request_at_which_the_detector_gives_it(alarms: Alarms, mean: float) -> None:
    pool, rows = judged(3000, mean, seed=9), 8000
    found = alarms.rows_until(pool, streams=1, stream_rows=rows, seed=5)
    random = np.random.default_rng((5, 0))
    drawn = pool.take(random.integers(len(pool), size=rows))
    sizes = request_sizes(rows, random)
    for traffic, requests in (("single", np.ones(rows, np.intp)), ("requests", sizes)):
        detector, passed = Harm(0.2, BOUNDS[0], 3000, 10_000), 0
        for size in requests.tolist():
            own = slice(passed, passed + size)
            chances = drawn.error_probability[own].astype(np.float32)
            detector.observe(Blocks(drawn.scores[own], np.array([size]), (None,), error_probability=chances))
            passed += size
            if asyncio.run(detector.state()).state == "drifting":
                break
        assert found[f"harm_{traffic}"][0, 0] == passed < rows
        assert mean > 0.3 or traffic == "requests" or passed > 500, "later than one piece of the stream"


def test_request_sizes_fill_the_stream_exactly() -> None:
    sizes = request_sizes(10_000, np.random.default_rng(0))
    assert sizes.sum() == 10_000
    assert set(sizes[:-1].tolist()) == set(range(1, MOST_REQUEST_ROWS + 1))
    assert request_sizes(1, np.random.default_rng(0)).tolist() == [1]


def alarmed(name: str, accuracy: float, harm: list[int], floor: list[int]) -> SetAlarms:
    both, evidence = np.array([harm, floor]), np.array(harm)
    arrays = {f"{detector}_{traffic}": both if detector == "harm" else evidence
              for detector in ("harm", "evidence") for traffic in ("single", "requests")}  # fmt: skip
    return SetAlarms(name, accuracy, arrays)


def test_alarms_are_counted_by_the_true_drop_and_by_the_floor() -> None:
    sets = [
        alarmed("all", 0.9, [101, 101, 101, 101], [101, 101, 101, 101]),
        alarmed("mild", 0.885, [101, 101, 101, 50], [101, 101, 101, 101]),
        alarmed("above", 0.82, [10, 20, 30, 40], [5, 5, 5, 101]),
        alarmed("within the margin", 0.79, [10, 10, 10, 10], [101, 101, 101, 101]),
        alarmed("missed", 0.7, [1, 1, 1, 1], [5, 5, 101, 101]),
        alarmed("found", 0.7, [1, 1, 1, 1], [5, 5, 5, 101]),
    ]
    by = {(table["above"], table["up_to"]): table for table in by_drop(sets, 0.9, 100)}
    assert by[-1.0, 0.01]["sets"] == 1
    assert by[0.01, 0.02]["single"]["harm"] == {"streams": 4, "alarms": 0.25, "mean_rows": 50, "median_rows": 50}
    assert by[-1.0, 0.02]["requests"]["score_evidence"]["alarms"] == 0.125
    assert by[0.05, 0.1]["single"]["harm"]["mean_rows"] == 25
    assert (0.02, 0.03) not in by
    (floor,) = by_floor(sets, [0.8], 100)
    assert floor == {"floor": 0.8, "above": 3, "false": 1, "below": 2, "missed": 1}
    assert [one["drop"] for one in by_set(sets, 0.9, 100)][:2] == [0, 0.015]
    assert summary(np.array([101, 101]), 100)["mean_rows"] is None
