"""How soon broken sources are named, and how seldom others are: small seeded runs of `python -m tests.bench.drift
sources`.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.source_streams import clean_peaks, delay, names_of_offsets


@pytest.mark.parametrize(
    ("with_harm", "settles", "most_rows"), [(False, True, 75), (True, False, 100)], ids=["change", "harm"]
)
def test_single_rows(with_harm: bool, settles: bool, most_rows: int) -> None:
    found = delay(0, with_harm=with_harm, settles=settles, sources=30)
    assert np.median(found.rows) <= most_rows
    assert found.wrong_names == 0


@pytest.mark.parametrize("with_harm", [False, True])
def test_requests_of_1_to_20_rows(with_harm: bool) -> None:
    found = delay(0, with_harm=with_harm, settles=True, largest=20, sources=30)
    assert np.median(found.requests) <= 12
    assert found.wrong_names == 0


def test_clean_traffic_names_seldom() -> None:
    """At c = 2,000 a wrong name is expected at most once in 2,000 rows: here 30 in all."""
    assert np.sum(clean_peaks(0, 60_000, sources=50) >= 2000) <= 30


def test_sources_that_differ_for_ever_are_not_named() -> None:
    assert names_of_offsets(0, sources=100) == 0
