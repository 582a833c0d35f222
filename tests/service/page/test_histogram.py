"""The histogram with the same buckets for reference and window."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge.page.histogram import bucket_edges, shares


def test_edges_are_evenly_apart_on_the_fourth_root_and_reach_past_the_threshold() -> None:
    reference = np.sort(np.random.default_rng(0).gamma(0.3, 2, 1000))
    edges = bucket_edges(reference, threshold=40.0)
    assert len(edges) == 33
    assert edges[0] == pytest.approx(reference[0])
    assert edges[-1] == pytest.approx(50.0)
    np.testing.assert_allclose(np.diff(edges**0.25), np.diff(edges**0.25)[0], rtol=1e-6)


def test_divergences_that_rounding_made_negative_begin_at_nothing() -> None:
    assert bucket_edges(np.array([-1e-7, 0.5, 1.0]), threshold=0.1)[0] == 0


def test_equal_scores_still_give_buckets() -> None:
    assert (np.diff(bucket_edges(np.full(100, 3.0), threshold=1.0)) > 0).all()
    assert (np.diff(bucket_edges(np.zeros(100), threshold=0.0)) > 0).all()


def test_shares_are_numpys_and_lose_nothing_beyond_the_edges() -> None:
    scores = np.random.default_rng(1).gamma(0.5, 2, 500)
    edges = bucket_edges(scores, threshold=1.0)
    expected = np.histogram(scores, edges)[0] / 500
    expected[-1] += 1 - expected.sum()  # the largest score, if rounding put the last edge just below it
    np.testing.assert_allclose(shares(scores, edges), expected, atol=1e-12)
    beyond = shares(np.array([-5.0, 1e9, 1e9, 1e9]), edges)
    assert (beyond[0], beyond[-1], beyond.sum()) == (0.25, 0.75, 1.0)
