"""Waits for a shadow in this process, and compares the rows that it scored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge.app import Service
from tests.support.waiting import until


async def seen(service: Service, rows: int) -> None:
    # On a busy machine everything else has priority.
    await until(lambda: int(service.switch.shadow.comparison.rows.sum()) == rows, seconds=60)


def alike(found: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> bool:
    """Whether both have the same rows, (n, d), in any order: batches may fill and finish in any order."""
    first, second = (rows[np.lexsort(np.round(rows, 3).T)] for rows in (found, expected))
    return np.allclose(first, second, rtol=1e-4, atol=1e-6)
