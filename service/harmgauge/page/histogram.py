"""The distribution of scores: shares in the buckets of a histogram, the same for reference and window."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BUCKETS = 32

_ROWS_AT_ONCE = 2**15
"""bincount holds the GIL: a million scores at once would block the event loop for milliseconds."""

Scores = npt.NDArray[np.float64]


def bucket_edges(reference: Scores, threshold: float, buckets: int = BUCKETS) -> Scores:
    """Edges (buckets + 1,), ascending, from the minimum of `reference` (n,) to its maximum or 1.25 times `threshold`.

    The buckets are equally wide on a fourth-root scale. Divergences are crowded near 0 and have a long tail: in the
    shipped bundle, nine in ten are below 0.2 and the largest is 3.7. A linear scale would show one bar; a logarithmic
    one would spend most of its width on irrelevant differences and could not show 0.
    """
    least = max(0.0, float(reference.min()))
    most = max(float(reference.max()), 1.25 * threshold, least + 1e-6)
    edges: Scores = np.linspace(least**0.25, most**0.25, buckets + 1) ** 4
    return edges


def shares(scores: Scores, edges: Scores) -> Scores:
    """Shares of scores (n,), n >= 1, in buckets (b,) between `edges` (b + 1,); the outer buckets extend to infinity."""
    counts = np.zeros(len(edges) - 1, np.int64)
    for start in range(0, len(scores), _ROWS_AT_ONCE):
        index = np.searchsorted(edges[1:-1], scores[start : start + _ROWS_AT_ONCE], side="right")
        counts += np.bincount(index, minlength=len(counts))
    return counts / len(scores)
