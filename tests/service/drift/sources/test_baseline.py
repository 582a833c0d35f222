"""A source's own normal: scipy's bounds, and what correlated requests are worth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom

from harmgauge.drift.sources import baseline
from harmgauge.drift.sources.columns import HALF_LINES, Columns

ONE = np.zeros(1, np.intp)


def fed(
    hits: np.ndarray[tuple[int, int], np.dtype[np.float64]], rows: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Columns:
    """One source, after these blocks."""
    columns = Columns.empty(1)
    for own, size in zip(hits, rows, strict=True):
        baseline.add(columns, ONE, own[None], np.array([size], float))
    return columns


def scipys(hits: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The near and the far bounds for these numbers of hits among 500, (2, k)."""
    found = np.stack([beta.ppf(1 - error, hits + 1, 500 - hits) for error in (0.005, 1e-4 / 16)])
    found[:, hits == 500] = 1
    return found


def test_bounds_are_scipys() -> None:
    random = np.random.default_rng(0)
    shares = np.linspace(0, 1, HALF_LINES)
    hits = (random.random((500, HALF_LINES)) < shares).astype(float)
    columns = fed(hits, np.ones(500))
    assert baseline.independent_rows(columns, ONE)[0] == pytest.approx(500, rel=1e-3)
    expected = scipys(hits.sum(axis=0))
    np.testing.assert_allclose(baseline.bounds(columns, ONE, 0)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(baseline.bounds(columns, ONE, 0.01)[0], 0.01 + 0.99 * expected, rtol=1e-6)


def test_a_longer_baseline_counts_as_no_more_rows() -> None:
    hits = np.zeros((700, HALF_LINES))
    hits[:70] = 1
    columns = fed(hits, np.ones(700))
    np.testing.assert_allclose(baseline.bounds(columns, ONE, 0)[0], scipys(np.full(HALF_LINES, 50.0)), rtol=1e-6)


def test_what_the_baseline_is_worth_against_a_share_is_at_most_one_on_average() -> None:
    """For every share, over the binomial number of hits; the far bound's own error is apart."""
    near, far = baseline.table()
    shares = np.concatenate([np.linspace(0.0005, 0.9995, 400), near[:-1] - 1e-9, near[:-1] + 1e-9])[:, None]
    chances = binom.pmf(np.arange(501), 500, shares)
    worth = np.where(shares <= near, baseline.WORTH[0], baseline.WORTH[1]) * (shares <= far)
    means = (chances * worth).sum(axis=1)
    assert means.max() <= 1 + 1e-6
    assert means.max() > 0.99, "nothing is given away"
    assert (chances * (shares > far)).sum(axis=1).max() <= 1e-4 / 16 * (1 + 1e-6)


@pytest.mark.parametrize(("alike", "worth"), [(False, 20), (True, 1)])
def test_rows_that_are_alike_are_worth_fewer(alike: bool, worth: int) -> None:
    random = np.random.default_rng(1)
    shares = np.repeat([0.5, 0.1], HALF_LINES // 2)
    draws = random.random((400, 1 if alike else 20, HALF_LINES)) < shares
    hits = draws.sum(axis=1) * (20.0 if alike else 1.0)
    found = baseline.independent_rows(fed(hits, np.full(400, 20.0)), ONE)[0]
    assert found == pytest.approx(400 * worth, rel=0.15)


def test_without_variance_a_request_is_worth_one_row() -> None:
    columns = fed(np.full((10, HALF_LINES), 20.0), np.full(10, 20.0))
    assert baseline.independent_rows(columns, ONE)[0] == pytest.approx(10)
    assert baseline.independent_rows(fed(np.ones((10, HALF_LINES)), np.ones(10)), ONE)[0] == pytest.approx(10)


def test_one_huge_request_does_not_outweigh_the_others() -> None:
    columns = fed(np.full((1, HALF_LINES), 2048.0), np.array([4096.0]))
    assert columns.weight[0] == baseline.MOST_WEIGHT
    assert columns.hits[0, 0] == baseline.MOST_WEIGHT / 2


def test_bounds_hold_together_except_with_the_stated_probability() -> None:
    """True shares at the edges of the half-lines of a large reference; 1e-4 is far below what 400 sources can show."""
    random = np.random.default_rng(2)
    cells = np.sort(random.random((400, 500)), axis=1)
    shares = 0.5 ** np.arange(1, 9)
    above = np.array([(cells > 1 - share).sum(axis=1) for share in shares]).T
    below = np.array([(cells < share).sum(axis=1) for share in shares]).T
    columns = Columns.empty(400)
    columns.hits[:], columns.weight[:] = np.concatenate([above, below], axis=1), 500
    near, far = np.moveaxis(baseline.bounds(columns, np.arange(400), 0), 1, 0)
    assert (far >= np.tile(shares, 2)).all()
    assert (near < np.tile(shares, 2)).mean() <= 0.01
