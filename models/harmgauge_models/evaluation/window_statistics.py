"""Two-sample statistics of other drift detectors: how far a window of rows is from the reference.

All take a reference `x` (m, d) and a window `y` (n, d), both float64 and standardised, and return a number that grows
with the difference. They are implemented from the papers; thresholds come from clean windows, not from their
asymptotic distributions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist

Float64 = npt.NDArray[np.float64]
Statistic = Callable[[Float64], float]
"""Maps a window (n, d) to its statistic."""

CENTRES = 100
"""Kernel functions of `lsdd`."""

REGULARISATION = 0.1
"""Ridge of `lsdd`, which would otherwise fit the noise of a small window."""

PARTIAL_SHARE = 0.5
"""Share of the reference that `partial_mmd` requires the window to resemble."""

COMPONENTS = 8
"""Principal components of `pca_ks`."""

_STEPS = 60


def ks(x: Float64) -> Statistic:
    """The largest Kolmogorov-Smirnov statistic of all columns. As n and m are the same for all, this is the test on the
    smallest p-value times d (Bonferroni), which is what alibi-detect and TorchDrift do for several features.
    """
    ordered = np.sort(x, axis=0)

    def statistic(y: Float64) -> float:
        largest = 0.0
        steps = np.arange(1, len(y) + 1) / len(y)
        for reference, window in zip(ordered.T, np.sort(y, axis=0).T, strict=True):
            below = np.searchsorted(reference, window, "left") / len(reference)
            up_to = np.searchsorted(reference, window, "right") / len(reference)
            largest = max(largest, float((steps - up_to).max()), float((below - steps + 1 / len(y)).max()))
        return largest

    return statistic


def cramer_von_mises(x: Float64) -> Statistic:
    """The largest Cramer-von Mises statistic T of all columns (Anderson 1962): n m / (n + m)^2 times the sum of
    (F - G)^2 over all values. The usual formula with ranks is the same, but not if there are ties.
    """
    ordered = np.sort(x, axis=0)
    of_reference = np.stack([np.searchsorted(own, own, "right") for own in ordered.T]) / len(x)

    def statistic(y: Float64) -> float:
        m, n, largest = len(x), len(y), 0.0
        for reference, at_reference, window in zip(ordered.T, of_reference, np.sort(y, axis=0).T, strict=True):
            at_window = np.searchsorted(reference, window, "right") / m
            apart = float(((at_window - np.searchsorted(window, window, "right") / n) ** 2).sum())
            apart += float(((at_reference - np.searchsorted(window, reference, "right") / n) ** 2).sum())
            largest = max(largest, n * m / (n + m) ** 2 * apart)
        return largest

    return statistic


def wasserstein(x: Float64) -> Statistic:
    """The Wasserstein distance of order 2 between the window and as many reference rows: an optimal assignment."""

    def statistic(y: Float64) -> float:
        cost = cdist(x[: len(y)], y, "sqeuclidean")
        rows, columns = linear_sum_assignment(cost)
        return float(np.sqrt(cost[rows, columns].mean()))

    return statistic


def energy(x: Float64) -> Statistic:
    """The energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely and Rizzo 2004)."""
    within = float(pdist(x).mean())

    def statistic(y: Float64) -> float:
        return 2 * float(cdist(x, y).mean()) - within - float(pdist(y).mean())

    return statistic


def mmd(x: Float64) -> Statistic:
    """The squared maximum mean discrepancy (Gretton et al. 2012) with a Gaussian kernel, unbiased."""
    width = _squared_width(x)
    within = float(np.exp(-pdist(x, "sqeuclidean") / width).mean())

    def statistic(y: Float64) -> float:
        of_window = float(np.exp(-pdist(y, "sqeuclidean") / width).mean())
        return within + of_window - 2 * float(np.exp(-cdist(x, y, "sqeuclidean") / width).mean())

    return statistic


def partial_mmd(x: Float64) -> Statistic:
    """The smallest squared MMD between the window and any PARTIAL_SHARE of the reference (Viehmann 2021): reference
    rows have weights of at most 1 / (share x m) that sum to 1, found by Frank and Wolfe's algorithm.
    """
    width = _squared_width(x)
    kernel = np.exp(-cdist(x, x, "sqeuclidean") / width)
    kept = max(1, round(PARTIAL_SHARE * len(x)))

    def statistic(y: Float64) -> float:
        towards = np.exp(-cdist(x, y, "sqeuclidean") / width).mean(1)
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
        within = float(np.exp(-pdist(y, "sqeuclidean") / width).mean())
        return float(weights @ smoothed) - 2 * float(weights @ towards) + within

    return statistic


def lsdd(x: Float64) -> Statistic:
    """The least-squares density difference (Sugiyama et al. 2013): the squared distance between both densities, whose
    difference is modelled as a sum of Gaussian kernels.
    """
    width = _squared_width(x)
    centres = x[:CENTRES]
    # The integral of two kernels' product, up to a factor that is the same for all of them.
    overlap = np.exp(-cdist(centres, centres, "sqeuclidean") / (2 * width))
    solve = np.linalg.inv(overlap + REGULARISATION * np.eye(len(centres)))
    of_reference = np.exp(-cdist(centres, x, "sqeuclidean") / width).mean(1)

    def statistic(y: Float64) -> float:
        difference = of_reference - np.exp(-cdist(centres, y, "sqeuclidean") / width).mean(1)
        theta = solve @ difference
        return float(2 * theta @ difference - theta @ overlap @ theta)

    return statistic


def pca_ks(x: Float64) -> Statistic:
    """`ks` on the first COMPONENTS principal components of the reference."""
    mean = x.mean(0)
    _, _, axes = np.linalg.svd(x - mean, full_matrices=False)
    axes = axes[:COMPONENTS].T
    of_components = ks((x - mean) @ axes)
    return lambda y: of_components((y - mean) @ axes)


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
    median = float(np.median(pdist(x, "sqeuclidean")))
    return 2 * median if median > 0 else 1.0
