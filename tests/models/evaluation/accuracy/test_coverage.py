"""The coverage of the interval with a calibrated error probability, and with a biased one."""

from __future__ import annotations

import pytest

from harmgauge_models.evaluation.accuracy.coverage import WINDOWS, coverage
from harmgauge_models.evaluation.accuracy.sets import RowSet
from tests.models.evaluation.accuracy.rows import judged

BASE = 0.8


def test_a_calibrated_probability_is_covered_as_often_as_the_interval_promises_or_a_little_more() -> None:
    sets = [RowSet("clean", str(seed), judged(4000, seed=seed)) for seed in range(60)]
    found = coverage(sets, BASE, 0.0, seed=0)
    assert list(found) == ["200", "1000"]
    for rows, most in (("200", 0.945), ("1000", 0.975)):  # the sd of .006 widens the longer window's interval more
        assert 0.87 < found[rows]["clean"]["coverage"] < most
        assert found[rows]["clean"]["windows"] == 60 * WINDOWS
    assert found["200"]["all"]["half_width"] > 1.5 * found["1000"]["all"]["half_width"]


def test_a_bias_shows() -> None:
    sets = [RowSet("single", str(seed), judged(4000, seed=seed, shift=0.05)) for seed in range(20)]
    right = [RowSet("clean", str(seed), judged(4000, seed=seed)) for seed in range(20)]
    found = coverage([*sets, *right], BASE, 0.0, seed=0)["1000"]
    assert found["single"]["coverage"] < 0.3
    assert found["clean"]["coverage"] > 0.85
    assert found["all"]["coverage"] == pytest.approx(
        (found["single"]["coverage"] + found["clean"]["coverage"]) / 2, abs=1e-4
    )


def test_kappa_makes_room_for_what_the_estimate_misses_of_a_drop() -> None:
    """Rows of accuracy .5 with an estimate of .53: a tenth of the drop from .8 is missed."""
    sets = [RowSet("single", str(seed), judged(4000, 0.5, seed=seed, shift=-0.03)) for seed in range(20)]
    narrow, wide = (coverage(sets, BASE, kappa, seed=0)["1000"]["single"] for kappa in (0.0, 0.1))
    assert narrow["coverage"] < 0.7
    assert wide["coverage"] > 0.95


def test_windows_longer_than_the_set_are_left_out() -> None:
    short = RowSet("clean", "all", judged(500))
    whole = RowSet("clean", "all", judged(1000))
    assert list(coverage([short], BASE, 0.0, seed=0)) == ["200"]
    assert coverage([whole], BASE, 0.0, seed=0)["1000"]["all"]["windows"] == 1
