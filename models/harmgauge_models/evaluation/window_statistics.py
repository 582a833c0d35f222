"""Two-sample statistics of other drift detectors: how far a window of rows is from the reference.

All are prepared with a reference `x` (m, d), and map a window of n rows to a number that grows with the difference.
Both are float64 and standardised. The statistics are implemented from the papers; thresholds come from clean windows,
not from their asymptotic distributions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from harmgauge.drift.mmd import squared_distances

Float64 = npt.NDArray[np.float64]

CENTRES = 100
"""Kernel functions of `lsdd`."""

REGULARISATION = 0.1
"""Ridge of `lsdd`, which would otherwise fit the noise of a small window."""

PARTIAL_SHARE = 0.5
"""Share of the reference that `partial_mmd` requires the window to resemble."""

COMPONENTS = 8
"""Principal components of `pca_ks`."""

_STEPS = 60


@dataclass(frozen=True)
class Window:
    """A window `y` (n, d) beside the reference `x` (m, d); their distances are computed once for all statistics."""

    x: Float64
    y: Float64

    @cached_property
    def squares(self) -> Float64:
        """The squared distance of each reference row to each row of the window, (m, n)."""
        return squared_distances(self.y, self.x).T

    @cached_property
    def own_squares(self) -> Float64:
        """The squared distances of all pairs in the window, (n (n - 1) / 2,)."""
        return _of_pairs(self.y)


Statistic = Callable[[Window], float]


def ks(x: Float64) -> Statistic:
    """The largest Kolmogorov-Smirnov statistic of all columns. As n and m are the same for all, this is the test on the
    smallest p-value times d (Bonferroni), which is what alibi-detect and TorchDrift do for several features.
    """
    largest = _largest_gap(x)
    return lambda window: largest(window.y)


def _largest_gap(x: Float64) -> Callable[[Float64], float]:
    ordered = np.sort(x.T, axis=1)

    def largest(y: Float64) -> float:
        window = np.sort(y.T, axis=1)
        steps = np.arange(1, len(y) + 1) / len(y)
        below, up_to = (_places(ordered, window, side) / len(x) for side in ("left", "right"))
        return max(float((steps - up_to).max()), float((below - steps + 1 / len(y)).max()))

    return largest


def cramer_von_mises(x: Float64) -> Statistic:
    """The largest Cramer-von Mises statistic T of all columns (Anderson 1962): n m / (n + m)^2 times the sum of
    (F - G)^2 over all values. The usual formula with ranks is the same, but not if there are ties.
    """
    ordered = np.sort(x.T, axis=1)
    m = len(x)
    of_reference = _places(ordered, ordered, "right") / m

    def statistic(window: Window) -> float:
        recent = np.sort(window.y.T, axis=1)
        n = len(window.y)
        at_window = _places(ordered, recent, "right") / m - _places(recent, recent, "right") / n
        at_reference = of_reference - _places(recent, ordered, "right") / n
        apart = (at_window**2).sum(1) + (at_reference**2).sum(1)
        return float(apart.max()) * n * m / (n + m) ** 2

    return statistic


def _places(ordered: Float64, window: Float64, side: Literal["left", "right"]) -> npt.NDArray[np.intp]:
    """`searchsorted` of each line of `window` (d, n) in that of `ordered` (d, m), (d, n)."""
    return np.array([line.searchsorted(of_window, side) for line, of_window in zip(ordered, window, strict=True)])


def wasserstein(x: Float64) -> Statistic:
    """The Wasserstein distance of order 2 between the window and as many reference rows: an optimal assignment."""

    def statistic(window: Window) -> float:
        cost = window.squares[: len(window.y)]
        rows, columns = linear_sum_assignment(cost)
        return float(np.sqrt(cost[rows, columns].mean()))

    return statistic


def energy(x: Float64) -> Statistic:
    """The energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo 2004)."""
    within = float(np.sqrt(_of_pairs(x)).mean())

    def statistic(window: Window) -> float:
        return 2 * float(np.sqrt(window.squares).mean()) - within - float(np.sqrt(window.own_squares).mean())

    return statistic


def mmd(x: Float64) -> Statistic:
    """The squared maximum mean discrepancy (Gretton et al. 2012) with a Gaussian kernel, unbiased."""
    width = _squared_width(x)
    within = float(np.exp(-_of_pairs(x) / width).mean())

    def statistic(window: Window) -> float:
        of_window = float(np.exp(-window.own_squares / width).mean())
        return within + of_window - 2 * float(np.exp(-window.squares / width).mean())

    return statistic


def partial_mmd(x: Float64) -> Statistic:
    """The smallest squared MMD between the window and any PARTIAL_SHARE of the reference (Viehmann 2021): reference
    rows have weights of at most 1 / (share x m) that sum to 1, found by Frank and Wolfe's algorithm.
    """
    width = _squared_width(x)
    kernel = np.exp(-squared_distances(x, x) / width)
    kept = max(1, round(PARTIAL_SHARE * len(x)))

    def statistic(window: Window) -> float:
        towards = np.exp(-window.squares / width).mean(1)
        weights = np.full(len(x), 1 / len(x))
        smoothed = kernel @ weights
        for _ in range(_STEPS):
            gradient = smoothed - towards
            corner = np.zeros(len(x))
            corner[np.argpartition(gradient, kept - 1)[:kept]] = 1 / kept
            step = corner - weights
            change = kernel @ step
            curvature = float(step @ change)
            length = min(1.0, -float(gradient @ step) / curvature) if curvature > 0 else 0.0
            if length <= 0:
                break
            weights, smoothed = weights + length * step, smoothed + length * change
        within = float(np.exp(-window.own_squares / width).mean())
        return float(weights @ smoothed) - 2 * float(weights @ towards) + within

    return statistic


def lsdd(x: Float64) -> Statistic:
    """The least-squares density difference (Sugiyama et al. 2013): the squared distance between both densities, whose
    difference is modelled as a sum of Gaussian kernels.
    """
    width = _squared_width(x)
    centres = x[:CENTRES]
    # The integral of two kernels' product, up to a factor that is the same for all of them.
    overlap = np.exp(-squared_distances(centres, centres) / (2 * width))
    solve = np.linalg.inv(overlap + REGULARISATION * np.eye(len(centres)))
    of_reference = np.exp(-squared_distances(centres, x) / width).mean(1)

    def statistic(window: Window) -> float:
        difference = of_reference - np.exp(-window.squares[: len(centres)] / width).mean(1)
        theta = solve @ difference
        return float(2 * theta @ difference - theta @ overlap @ theta)

    return statistic


def pca_ks(x: Float64) -> Statistic:
    """`ks` on the first COMPONENTS principal components of the reference."""
    mean = x.mean(0)
    _, _, axes = np.linalg.svd(x - mean, full_matrices=False)
    axes = axes[:COMPONENTS].T
    of_components = _largest_gap((x - mean) @ axes)
    return lambda window: of_components((window.y - mean) @ axes)


STATISTICS: dict[str, Callable[[Float64], Statistic]] = {
    "ks": ks,
    "cramer_von_mises": cramer_von_mises,
    "pca_ks": pca_ks,
    "wasserstein": wasserstein,
    "energy": energy,
    "mmd": mmd,
    "partial_mmd": partial_mmd,
    "lsdd": lsdd,
}
"""Each prepares the reference once."""

LABELS = {
    "ks": "KS on each feature, Bonferroni",
    "cramer_von_mises": "Cramér-von Mises on each feature, Bonferroni",
    "pca_ks": f"KS on {COMPONENTS} principal components, Bonferroni",
    "wasserstein": "Wasserstein distance",
    "energy": "energy distance",
    "mmd": "MMD, Gaussian kernel",
    "partial_mmd": "partial MMD",
    "lsdd": "least-squares density difference",
}


def standardised(reference: npt.NDArray[np.float32]) -> Callable[[npt.NDArray[np.float32]], Float64]:
    """Scale features by the reference's mean and standard deviation; constant ones become 0."""
    mean, spread = reference.mean(0, dtype=np.float64), reference.std(0, dtype=np.float64)
    factor = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    return lambda rows: (rows - mean) * factor


def _squared_width(x: Float64) -> float:
    """Twice the squared width of a Gaussian kernel: the median distance in the reference."""
    median = float(np.median(_of_pairs(x)))
    return 2 * median if median > 0 else 1.0


def _of_pairs(x: Float64) -> Float64:
    """The squared distances of all pairs of rows (n, d), (n (n - 1) / 2,)."""
    pairs: Float64 = squared_distances(x, x)[np.triu_indices(len(x), 1)]
    return pairs
