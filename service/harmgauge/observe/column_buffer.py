"""Buffers the rows of requests until their columns are read: reading those of many requests at once is much faster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import ColumnValues, picked
from harmgauge.bundle.named_rows import AnyRows, held_bytes

MAX_ROWS = 1024
"""Limit on buffered rows: each costs the monitor of columns some microseconds."""

MAX_BYTES = 2**20
"""Limit on the memory that buffered rows keep alive, the requests' bodies included."""


class ColumnBuffer:
    """Rows of requests whose columns `values` will read. Without `reads_rows`, it reads their predicted classes only,
    and nothing is put into it.
    """

    def __init__(self, values: ColumnValues) -> None:
        self._values = values
        self.reads_rows = values.reads_rows
        self.clear()

    def put(self, rows: AnyRows) -> bool:
        """Buffer the rows of a request, n >= 1. Returns whether the buffer is full."""
        rows = picked(rows)
        self._rows.append(rows)
        self._buffered_rows += len(rows)
        self._buffered_bytes += held_bytes(rows)
        return self._buffered_rows >= MAX_ROWS or self._buffered_bytes >= MAX_BYTES

    def read(self, predictions: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float64]:
        """The columns of the buffered rows, as `ColumnValues` reads them; `predictions` are the classes of each of the
        requests, of at least one.
        """
        return self._values(self._rows, [picked(classes) for classes in predictions])

    def clear(self) -> None:
        self._rows: list[AnyRows] = []
        self._buffered_rows = 0
        self._buffered_bytes = 0
