"""Buffers the rows of requests until their columns are read: reading those of many requests at once is much faster."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.column_values import ColumnValues, picked
from harmgauge.bundle.named_rows import AnyRows, held_bytes

MAX_ROWS = 1024
"""Limit on buffered rows: each costs the monitor of columns some microseconds."""

MAX_BYTES = 2**20
"""Limit on the memory that buffered rows keep alive, the requests' bodies included."""


class ColumnBuffer:
    """Rows of requests whose columns `values` will read."""

    def __init__(self, values: ColumnValues) -> None:
        self._values = values
        self.clear()

    def put(self, rows: AnyRows, predictions: npt.NDArray[np.int64]) -> None:
        """Buffer the rows of a request, n >= 1, and their predicted classes (n,)."""
        rows, predictions = picked(rows, predictions)
        self._predictions.append(predictions)
        self._buffered_rows += len(predictions)
        if self._values.reads_rows:
            self._rows.append(rows)
            self._buffered_bytes += held_bytes(rows)

    @property
    def is_full(self) -> bool:
        return self._buffered_rows >= MAX_ROWS or self._buffered_bytes >= MAX_BYTES

    def read(self) -> npt.NDArray[np.float64]:
        """The columns of all buffered rows, of at least one request, as `ColumnValues` reads them."""
        return self._values(self._rows, self._predictions)

    def clear(self) -> None:
        self._rows: list[AnyRows] = []
        self._predictions: list[npt.NDArray[np.int64]] = []
        self._buffered_rows = 0
        self._buffered_bytes = 0
