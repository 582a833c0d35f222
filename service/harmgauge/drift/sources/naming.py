"""The sources that stand out at one moment, with a bound on the share of wrong ones, however many sources there are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def listed(evidence: npt.NDArray[np.floating], threshold: float) -> npt.NDArray[np.bool_]:
    """The sources that stand out now, (n,): e-d-BH (Dandapanthula and Ramdas, arXiv 2501.04130) on `evidence` (n,).

    The k sources with the most evidence are listed for the largest k for which each has at least `threshold` / k.
    After N rows of all traffic, the expected share of wrong names in the list is at most N / `threshold`, for any
    dependence between sources. That holds for the list at one moment: a record of all names that were ever in it has no
    such guarantee (arXiv 2501.19360).
    """
    falling = np.sort(evidence)[::-1]
    places = np.arange(1, len(falling) + 1)
    enough = np.flatnonzero(falling * places >= threshold)
    if not len(enough):
        return np.zeros(len(evidence), bool)
    found: npt.NDArray[np.bool_] = evidence >= threshold / places[enough[-1]]
    return found
