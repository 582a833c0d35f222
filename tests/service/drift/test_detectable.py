"""Predictions of what the alarm can detect: they agree with simulation, and the warning names what helps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import digamma

from harmgauge.drift import detectable
from harmgauge.drift.detectable import Detectable
from tests.bench.drift.predictions import highest_scores
from tests.bench.drift.streams import Streams


@pytest.mark.parametrize(("rows", "tolerance", "between"), [(1000, 0.0, 1_000_000), (5000, 0.01, 1_000_000)])
def test_the_rows_to_the_alarm_are_those_of_a_simulation(rows: int, tolerance: float, between: int) -> None:
    found = Detectable(rows, tolerance, between).rows(0.1)
    simulated = np.median(Streams(rows, 0.1, 200, tolerance, between, harm=highest_scores).rows_to_alarm())
    assert found == pytest.approx(simulated, rel=0.25)


def test_the_smallest_share_is_between_one_that_is_seen_and_one_that_is_not() -> None:
    """Within 2,000 rows instead of 20,000, because a simulation is slow."""
    rows = 2000
    found = Detectable(1000, 0.01, rows)
    assert found.horizon_rows == rows
    assert found.smallest_share is not None
    for factor, is_seen in ((1.25, True), (0.75, False)):
        streams = Streams(
            1000, factor * found.smallest_share, 60, 0.01, rows, most_rows=rows, harm=highest_scores, seed=2
        )
        assert (np.isfinite(streams.rows_to_alarm()).mean() > 0.5) == is_seen


def test_more_rows_less_tolerance_and_more_false_alarms_see_more() -> None:
    shares = [
        Detectable(*setting).smallest_share
        for setting in ((100, 0.01, 10**6), (1000, 0.01, 10**6), (5000, 0.01, 10**6), (5000, 0.0, 10**6))
    ]
    assert all(share is not None for share in shares)
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]  # checked just before
    assert Detectable(200, 0, 10**5).rows(0.1) < Detectable(200, 0, 10**7).rows(0.1)


def test_the_warning_gives_what_helps_with_figures() -> None:
    assert Detectable(200, 0.01, 10**6).warning is None
    small = Detectable(100, 0.05, 10**6)
    assert small.warning is not None
    assert "`harmgauge reference --more 4900`: from 0.06" in small.warning
    assert "lower HARMGAUGE_TOLERANCE from 0.05 (at 0: from 0.07" in small.warning
    tolerant = Detectable(20_000, 0.3, 10**6).warning
    assert tolerant is not None
    assert "--more" not in tolerant
    assert "HARMGAUGE_TOLERANCE" in tolerant


def test_an_alarm_that_is_out_of_reach_is_said() -> None:
    found = Detectable(100, 0.999, 10**15)
    assert (found.smallest_share, found.rows_at_common_share) == (None, None)
    assert "detects no harmful traffic" in found.sentence
    assert found.warning is not None


def test_the_sentence() -> None:
    assert Detectable(5000, 0.01, 10**6).sentence == (
        "score_evidence detects harmful traffic from a share of about 0.019 on, within 20,000 rows; a share of 0.1 "
        "after about 130 to 320 rows"
    )


def test_the_correction_for_noise_is_the_digamma_function() -> None:
    x = np.geomspace(0.3, 1e4, 50)
    np.testing.assert_allclose(detectable._log_noise(x, np.full(50, 2.0)), np.log(x) - digamma(x), rtol=0.01, atol=1e-6)
