"""Rank bets on columns: the recursion of the reference functions, exactness with ties, and blocks with gaps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from harmgauge.bundle.order_statistics import JITTER_BITS, Boundaries
from harmgauge.bundle.order_statistics import rounded as as_compared
from harmgauge.drift.columns.bets import GRADED_STAKES, MOST, STAKES, Bets, jitters
from harmgauge.drift.columns.half_lines import GRADES

Float64 = npt.NDArray[np.float64]

NUMBERS, FLAGS = 3, 8
"""Levels."""


def started(boundaries: Boundaries) -> Bets:
    """Bets on numbers, or on flags."""
    none = Boundaries.of([], NUMBERS, np.random.default_rng(0))
    return Bets.start(boundaries, none) if boundaries.levels == NUMBERS else Bets.start(none, boundaries)


def pair(bets: Bets, x: Float64) -> tuple[Float64, Float64]:
    """Values of all variables as those of numbers and of flags; the bets have only one kind."""
    none = np.empty((len(x), 0))
    return (x, none) if bets.half_lines.is_graded.any() else (none, x)


def paper_boundaries(
    reference: Float64, levels: int, random: np.random.Generator
) -> tuple[Float64, Float64, Float64, float]:
    """A reference function, written for one column: value, jitter, and the urn's N and M at the start."""
    n = len(reference)
    u = random.random(n)
    o = np.lexsort((u, reference))
    v, u = reference[o], u[o]
    s = np.maximum(1, np.rint((n + 1) * 0.5 ** np.arange(1, levels + 1))).astype(int)
    i = np.r_[n - s, s - 1]
    return v[i], u[i], np.r_[s, s].astype(float), n + 1.0


def paper_hits(x: Float64, value: Float64, jitter: Float64, levels: int, random: np.random.Generator) -> Float64:
    """Each cell's function of each row, (rows, 2 * levels)."""
    of_rows, of_variables = jitters((len(x), 1), random)
    u = (of_rows ^ of_variables)[:, None] / 2**JITTER_BITS
    u = np.where(x[:, None] < 0, -u, u)  # any uniform number will do, but this is the one that the bets draw
    jitter = np.where(value < 0, jitter - 1, jitter)
    x = x[:, None]
    above = (x > value) | ((x == value) & (u > jitter))
    return paper_cells(above.astype(float), 1, levels)


def paper_cells(above: Float64, known: float, levels: int) -> Float64:
    """The cells, from how many of `known` values are above each boundary: half-lines, and for numbers the grade."""
    cells = np.where(np.arange(2 * levels) < levels, above, known - above)
    if levels == NUMBERS:
        cells[..., 0] = above[..., [0, 1, 2, 4, 5]] @ np.array([6, 6, 7, 6, 7]) / 32
        cells[..., levels] = known - cells[..., 0]
    return cells


@pytest.mark.parametrize("levels", [3, 8])
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    blocks=st.lists(st.integers(1, 600), min_size=1, max_size=5),
    tolerance=st.sampled_from([0.0, 0.01, 0.3]),
    rounded=st.booleans(),
)
def test_bets_are_those_of_the_reference_functions(
    levels: int, seed: int, blocks: list[int], tolerance: float, rounded: bool
) -> None:
    random = np.random.default_rng(seed)
    reference = as_compared(random.normal(size=300))
    reference = np.rint(reference) if rounded else reference
    value, jitter, counts, total = paper_boundaries(reference, levels, np.random.default_rng(seed + 1))
    boundaries = Boundaries.of([reference], levels, np.random.default_rng(seed + 1))
    bets = started(boundaries)
    is_number = levels == NUMBERS
    counts = paper_cells(np.where(np.arange(2 * levels) < levels, counts, total - counts), total, levels)
    stakes = np.tile(STAKES, (2 * levels, 1))
    stakes[[0, levels]] = GRADED_STAKES if is_number else STAKES
    np.testing.assert_array_equal(bets.counts, counts)
    np.testing.assert_array_equal(boundaries.values[:, 0], value)
    np.testing.assert_array_equal(boundaries.jitters[:, 0], jitter)
    wealth = np.zeros((2 * levels, len(STAKES)))
    for number, rows in enumerate(blocks):
        x = random.normal(0.3, 1, rows)
        x = np.rint(x) + 0.0 if rounded else as_compared(x)
        # The same jitters, although the bets draw them in pieces: continuous values have no ties, rounded ones always.
        inside = paper_hits(x, value, jitter, levels, np.random.default_rng(number))
        mean = inside.mean(axis=0)
        allowed = counts / total
        allowed = allowed + tolerance * (1 - allowed)
        wealth = (wealth + rows) * (1 - stakes + stakes * (mean / allowed)[:, None])
        counts, total = counts + mean * rows, total + rows
        bets.bet(pair(bets, x[:, None]), np.array([rows]), tolerance, np.random.default_rng(number))
        np.testing.assert_allclose(bets.wealth.T, wealth, rtol=1e-5)
        np.testing.assert_allclose(bets.counts, counts)
        np.testing.assert_allclose(bets.evidence, [wealth.mean()], rtol=1e-5)


@pytest.mark.parametrize(("share", "levels"), [(0.1, FLAGS), (0.5, FLAGS), (0.02, 3), (0.3, NUMBERS)])
def test_bets_on_a_category_are_fair_over_the_luck_of_the_reference(share: float, levels: int) -> None:
    """One gambler's wealth that starts at 1 has a mean of 1 after any number of rows; against count / n it had 1.16."""
    random = np.random.default_rng(7)
    worlds, rows = 3000, 12
    references = [(random.random(100) < share).astype(float) for _ in range(worlds)]
    bets = started(Boundaries.of(references, levels, random))
    product = np.ones((len(STAKES), 2 * levels, worlds))
    is_graded = bets.half_lines.is_graded.reshape(2 * levels, worlds)
    stakes = np.where(is_graded, GRADED_STAKES[:, None, None], STAKES[:, None, None])
    for _ in range(rows):
        x = (random.random((1, worlds)) < share).astype(float)
        allowed = bets.counts.reshape(2 * levels, worlds) / bets.rows
        before = bets.counts.copy()
        bets.bet(pair(bets, x), np.array([1]), 0.0, random)
        ratio = (bets.counts - before).reshape(2 * levels, worlds) / allowed
        product *= 1 - stakes + stakes * ratio
    # The largest stake wins so much so rarely that a mean over these worlds would not be normal.
    wealth = product[:-1].mean(axis=(0, 1))
    error = wealth.std() / np.sqrt(worlds)
    assert abs(wealth.mean() - 1) < 4 * error
    # The same of the evidence, which gains one gambler a row.
    evidence = bets.wealth[:-1].reshape(-1, worlds).mean(axis=0)
    assert abs(evidence.mean() - rows) < 4 * evidence.std() / np.sqrt(worlds)


def test_missing_values_neither_win_nor_lose_nor_count() -> None:
    random = np.random.default_rng(1)
    references = [random.normal(size=200) for _ in range(3)]
    boundaries = Boundaries.of(references, 3, random)
    whole, gaps = started(boundaries), started(boundaries)
    x = random.normal(1, 1, (40, 3))
    for start in range(0, 40, 4):
        block = x[start : start + 4].copy()
        with_gaps = np.vstack([block, np.full((3, 3), np.nan)])
        with_gaps[:, 2] = np.nan  # the third column is never seen
        whole.bet(pair(whole, block), np.array([4]), 0.01, np.random.default_rng(0))
        gaps.bet(pair(gaps, with_gaps), np.array([7]), 0.01, np.random.default_rng(0))
    is_seen = np.arange(gaps.half_lines.size) % 3 < 2
    np.testing.assert_allclose(gaps.wealth[:, is_seen], whole.wealth[:, is_seen], rtol=1e-5)
    np.testing.assert_array_equal(gaps.rows[:2], whole.rows[:2])
    assert not gaps.wealth[:, ~is_seen].any()
    np.testing.assert_array_equal(gaps.counts[~is_seen], gaps.half_lines.sizes[~is_seen])


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.lists(st.one_of(st.just(1), st.integers(1, 300)), min_size=1, max_size=40),
    gaps=st.booleans(),
    width=st.sampled_from([3, 60, 300]),
)
def test_many_blocks_at_once_are_the_same_as_one_after_another(
    seed: int, rows: list[int], gaps: bool, width: int
) -> None:
    random = np.random.default_rng(seed)
    # No value equals a boundary: ties are broken at random.
    boundaries = Boundaries.of(list(np.rint(random.normal(0, 1000, size=(width, 400)))), 3, random)
    x = np.rint(random.normal(200, 1000, (sum(rows), width))) + 0.5
    if gaps:
        x[random.random(x.shape) < 0.3] = np.nan
    at_once, one_by_one = started(boundaries), started(boundaries)
    at_once.bet(pair(at_once, x), np.array(rows), 0.01, random)
    begin = 0
    for count in rows:
        one_by_one.bet(pair(one_by_one, x[begin : begin + count]), np.array([count]), 0.01, random)
        begin += count
    np.testing.assert_allclose(at_once.wealth, one_by_one.wealth, rtol=1e-4)
    np.testing.assert_array_equal(at_once.counts, one_by_one.counts)
    np.testing.assert_array_equal(at_once.rows, one_by_one.rows)


def test_wealth_stays_finite() -> None:
    random = np.random.default_rng(1)
    bets = started(Boundaries.of([random.normal(size=5000), random.normal(size=5000)], 3, random))
    x = np.column_stack([np.full(3_000, 99.0), random.normal(size=3_000)])
    bets.bet(pair(bets, x), np.ones(3_000, np.intp), 0.0, random)
    assert np.isfinite(bets.wealth).all()
    assert bets.evidence[0] > 1e25
    assert bets.evidence[1] < 1e6
    bets.wealth[:] = np.inf
    bets.bet(pair(bets, x[:1]), np.array([1]), 0.0, random)
    assert bets.wealth.max() == np.float32(MOST)


@pytest.mark.parametrize("rows", [1, 2, 3, 100, 501])
@pytest.mark.parametrize("levels", [3, 8])
def test_order_statistics_of_any_reference_pass_their_check(rows: int, levels: int) -> None:
    random = np.random.default_rng(rows)
    Boundaries.of([random.normal(size=rows), np.zeros(rows), np.rint(random.normal(size=rows))], levels, random).check()
    Boundaries.of([], levels, random).check()


@pytest.mark.parametrize("spoil", ["order", "ties", "nan", "jitter", "shape"])
def test_impossible_order_statistics_are_rejected(spoil: str) -> None:
    random = np.random.default_rng(0)
    good = Boundaries.of([random.normal(size=200), np.ones(200)], 3, random)
    values, jitters, rows = good.values.copy(), good.jitters.copy(), good.rows
    match spoil:
        case "order":
            values[[0, 2], 0] = values[[2, 0], 0]
        case "ties":
            jitters[[0, 2], 1] = jitters[[2, 0], 1]
        case "nan":
            values[0, 0] = np.nan
        case "jitter":
            jitters[0, 0] = 1.0
        case _:
            rows = rows[:1]
    with pytest.raises(ValueError, match="order statistics"):
        Boundaries(values, jitters, rows).check()


def test_variables_with_different_levels_are_independent() -> None:
    """Those of two groups bet like each group alone."""
    random = np.random.default_rng(2)
    numbers = Boundaries.of(list(random.normal(size=(3, 300))), 3, random)
    flags = Boundaries.of(list((random.random((2, 300)) < 0.3).astype(float)), 8, random)
    both, alone, other = Bets.start(numbers, flags), started(numbers), started(flags)
    x = random.normal(0.2, 1, (50, 5))  # no ties, so the jitters make no difference
    x[random.random(x.shape) < 0.2] = np.nan
    for bets, own in ((both, (x[:, :3], x[:, 3:])), (alone, pair(alone, x[:, :3])), (other, pair(other, x[:, 3:]))):
        bets.bet(own, np.full(25, 2), 0.01, random)
    np.testing.assert_allclose(both.evidence, np.concatenate([alone.evidence, other.evidence]), rtol=1e-5)
    np.testing.assert_array_equal(both.rows, np.concatenate([alone.rows, other.rows]))
    for found, parts in zip(
        both.half_lines.means(both.wealth),
        zip(*(each.half_lines.means(each.wealth) for each in (alone, other)), strict=True),
        strict=True,
    ):
        np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-5)
    assert len(both.wealth.T) == 3 * 6 + 2 * 16


def test_without_a_variable_there_is_nothing_to_bet_on() -> None:
    bets = started(Boundaries.of([], 3, np.random.default_rng(0)))
    bets.bet(pair(bets, np.empty((4, 0))), np.full(2, 2), 0.01, np.random.default_rng(0))
    assert bets.evidence.shape == (0,)


def test_a_graded_cell_has_the_mean_normal_scores() -> None:
    """Between the order statistics that it adds up; from the lowest cell's 0 to the highest one's 1."""
    edges = norm.ppf([0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 1])
    means = -np.diff(norm.pdf(edges)) / np.diff(norm.cdf(edges))
    upper, quarter, eighth, lower_quarter, lower_eighth = GRADES
    grades = np.cumsum([0, lower_eighth, lower_quarter, upper, quarter, eighth])
    assert grades[-1] == 1
    assert np.corrcoef(means, grades)[0, 1] > 0.999
