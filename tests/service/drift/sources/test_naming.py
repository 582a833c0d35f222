"""The list of sources that stand out: the reference function of the paper, and its guarantee."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.drift.sources.naming import listed


@settings(max_examples=50)
@given(st.lists(st.sampled_from([0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0]), max_size=12))
def test_it_is_the_largest_k_with_enough_each(evidence: list[float]) -> None:
    """Brute force over k."""
    found = listed(np.array(evidence), 100)
    most = max((k for k in range(1, len(evidence) + 1) if sorted(evidence)[-k] >= 100 / k), default=0)
    assert found.tolist() == [bool(most) and value >= 100 / most for value in evidence]


def test_the_share_of_wrong_names_is_as_small_as_promised() -> None:
    """200 sources with evidence of mean 1, the largest that the null allows after one row each, 20 with a lot."""
    random = np.random.default_rng(0)
    shares = []
    for _ in range(600):
        null = np.where(random.random(200) < 0.01, 100.0, 0.0)  # mean 1: 200 rows of all traffic
        found = listed(np.append(null, np.full(20, 1e6)), 1000)
        shares.append(found[:200].sum() / max(1, found.sum()))
    assert 0 < np.mean(shares) <= 200 / 1000
