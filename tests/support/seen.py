"""Waits for a shadow in this process, and compares the rows that it scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from harmgauge.app import Service
from tests.support.waiting import until


async def seen(service: Service, rows: int) -> None:
    # On a busy machine everything else has priority.
    await until(lambda: int(service.switch.shadow.comparison.rows.sum()) == rows, seconds=60)


def alike(found: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> bool:
    """Whether both have the same rows, (n, d), in any order: batches may fill and finish in any order."""
    if found.shape != expected.shape:
        return False
    close = np.isclose(found[:, None], expected[None], rtol=1e-4, atol=1e-6).all(axis=2)
    return bool((maximum_bipartite_matching(csr_array(close)) >= 0).all())
