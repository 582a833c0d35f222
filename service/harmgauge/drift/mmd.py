"""Kernel MMD: the distance between two samples of vectors, and its p-value by permutations.

Gretton et al., *A Kernel Two-Sample Test* (JMLR 2012): the unbiased estimate of the squared maximum mean discrepancy
under the Gaussian kernel exp(-d^2 / 2 l^2), whose length scale l is the median of all pairwise distances of the
combined samples (as in TorchDrift). All of it is computed in float64 on centred data: in float32, or far from the
origin, the squared distances are small differences of large numbers and cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harmgauge.drift.quadratic_bound import QuadraticBound

Matrix = npt.NDArray[np.float64]

PERMUTATIONS_AT_ONCE = 200
ROWS_AT_ONCE = 16
"""Rows of a matrix of distances that are completed together: they fit into the processor's cache."""

ENOUGH_EXCEEDED = 20
"""Number of permutations at or above the observed statistic after which sampling stops: p is then far from small."""

MANY_PERMUTATIONS = 1000
"""With fewer to come, making a bound takes more time than it saves."""

_SAME = 1e-12
"""Squared distances below this share of the squared lengths are rounding errors of 0."""


@dataclass(frozen=True)
class MmdResult:
    """`statistic` is the unbiased MMD^2, which may fall below 0; `p_value` is (1 + exceeded) / (1 + permutations)."""

    statistic: float
    p_value: float
    permutations: int


def squared_distances(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> Matrix:
    """Squared distances of each row of a (n, d) to each row of b (m, d): (n, m), exactly 0 for equal rows."""
    origin = a.mean(0, dtype=np.float64)
    a64, b64 = a - origin, b - origin
    a_lengths, b_lengths = (a64 * a64).sum(1), (b64 * b64).sum(1)
    squares: Matrix = a64 @ b64.T
    squares *= -2
    # In parts: a matrix of 1500 rows takes 18 MB, and the matrix of sums of lengths would take as much again.
    for start in range(0, len(a64), ROWS_AT_ONCE):
        part = squares[start : start + ROWS_AT_ONCE]
        lengths = a_lengths[start : start + ROWS_AT_ONCE, None] + b_lengths
        part += lengths
        part[part <= _SAME * lengths] = 0
    return squares


def median_length_scale(squares: Matrix) -> float:
    """The median distance over all pairs of distinct rows; `squares` (n, n) are the squared distances.

    If more than half of the pairs are ties, it is the mean of the nonzero distances, or 0 if there are none: a kernel
    of width 0 would treat every tie as a difference. Both are invariant under permutations of the rows.
    """
    pairs: Matrix = np.concatenate([squares[row, row + 1 :] for row in range(len(squares))])
    median = _median(pairs)
    if median == 0:
        apart = pairs[pairs > 0]
        return float(np.sqrt(apart).mean()) if len(apart) else 0.0
    return float(np.sqrt(median))


def _median(values: Matrix) -> float:
    """`np.median` of finite `values` (n,), in a third of its time, for it also looks for NaN. Reorders the values."""
    middle = len(values) // 2
    values.partition(middle)
    upper = float(values[middle])
    return upper if len(values) % 2 else (float(values[:middle].max()) + upper) / 2


def gaussian_kernel(squares: Matrix, length_scale: float) -> Matrix:
    """The kernel exp(-d^2 / 2 l^2) for squared distances."""
    exponents = squares / (-2 * length_scale**2)
    return np.exp(exponents, out=exponents)


def unbiased_mmd2(kernel: Matrix, recent: Matrix) -> Matrix:
    """MMD^2 of each split of the rows: the mean kernel over pairs of distinct rows within each sample, minus twice that
    over pairs of one row of each.

    `kernel` (n, n) has ones on its diagonal; `recent` (n, k) has 1.0 for the rows of one sample and 0.0 for those of
    the other, with the same number in each column. Returns (k,).
    """
    products = kernel @ recent
    return _mmd2(kernel.sum(), products.sum(0), (recent * products).sum(0), recent[:, 0].sum(), len(kernel))


def _mmd2(total: float, touching: Matrix, own: Matrix, n: float, rows: int) -> Matrix:
    """MMD^2 from sums of the kernel over all pairs, over those with at least one of the `n` recent rows, counted once
    for each (k,), and over those of two recent rows (k,).
    """
    m = rows - n
    across = touching - own
    others = total - own - 2 * across
    result: Matrix = (own - n) / (n * (n - 1)) + (others - m) / (m * (m - 1)) - 2 * across / (n * m)
    return result


class _Splits:
    """Counts the splits of the rows whose MMD^2 is at least `reached`."""

    def __init__(self, kernel: Matrix, reached: float) -> None:
        self._kernel = kernel
        self._reached = reached
        self._bound: QuadraticBound | None = None

    def bound(self) -> None:
        """From now on, only compute MMD^2 where an upper bound does not exclude a split."""
        if self._bound is None:
            self._bound = QuadraticBound(self._kernel)

    @cached_property
    def _row_sums(self) -> Matrix:
        sums: Matrix = self._kernel.sum(0)
        return sums

    def count(self, recent: Matrix) -> int:
        """`recent` as in `unbiased_mmd2`."""
        if self._bound is not None:
            # MMD^2 increases with the sum of the kernel over the pairs of recent rows.
            total, touching, n = self._row_sums.sum(), self._row_sums @ recent, recent[:, 0].sum()
            recent = recent[:, _mmd2(total, touching, self._bound(recent), n, len(recent)) >= self._reached]
        if not recent.size:
            return 0
        return int(np.count_nonzero(unbiased_mmd2(self._kernel, recent) >= self._reached))


def permutation_test(
    reference: npt.NDArray[np.floating],
    recent: npt.NDArray[np.floating],
    permutations: int,
    random: np.random.Generator,
    *,
    length_scale: float | None = None,
    enough_exceeded: int = ENOUGH_EXCEEDED,
) -> MmdResult:
    """Test whether `recent` (n, d) and `reference` (m, d) have the same distribution; all finite, n and m at least 2.

    Permutations are drawn until there are `permutations`, or `enough_exceeded` of them have reached the observed
    statistic (Besag and Clifford 1991): only a small p needs all of them. The p-value is never 0. Raises ValueError for
    fewer than two rows or unequal widths.
    """
    n, m = len(recent), len(reference)
    if n < 2 or m < 2 or recent.shape[1:] != reference.shape[1:]:
        raise ValueError(
            f"MMD of {recent.shape} against {reference.shape}: expected at least 2 rows each, of the same width"
        )
    together = np.concatenate([reference, recent])
    squares = squared_distances(together, together)
    scale = median_length_scale(squares) if length_scale is None else length_scale
    if scale == 0:  # all rows are equal
        return MmdResult(0.0, 1.0, 0)
    kernel = gaussian_kernel(squares, scale)
    del squares
    observed = float(unbiased_mmd2(kernel, _columns(np.arange(m, m + n)[None], n + m))[0])
    # A permutation that gives the same sums in a different order must count as equal.
    splits = _Splits(kernel, observed - 1e-12)
    drawn = exceeded = 0
    while drawn < permutations and exceeded < enough_exceeded:
        count = min(PERMUTATIONS_AT_ONCE, permutations - drawn)
        picked = np.argpartition(random.random((count, n + m)), n - 1, axis=1)[:, :n]
        exceeded += splits.count(_columns(picked, n + m))
        drawn += count
        if not exceeded and permutations - drawn >= MANY_PERMUTATIONS:
            splits.bound()
    return MmdResult(observed, (1 + exceeded) / (1 + drawn), drawn)


def _columns(picked: npt.NDArray[np.intp], rows: int) -> Matrix:
    """(rows, k): 1.0 for the rows that are `picked` (k, n), whose lines become columns."""
    columns = np.zeros((rows, len(picked)))
    columns[picked, np.arange(len(picked))[:, None]] = 1
    return columns
