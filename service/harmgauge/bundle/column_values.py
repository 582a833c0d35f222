"""The columns of rows, by name, as numbers: all that the monitor of columns needs to see of a request."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.rows import Rows

MOST_ROWS = 256
"""Rows of a request beyond this number would cost time on the event loop and hardly change the bet on their mean."""

PREDICTIONS = "predicted class"
"""Name of the predicted class among the columns."""


class ColumnValues:
    """Reads the columns at `positions` (c,) of a flattened row, and the predicted class, which is the last column."""

    def __init__(self, manifest: Manifest, positions: npt.NDArray[np.int64]) -> None:
        self._positions = positions
        declared = manifest.inputs[0].columns
        has_names = declared is not None and len(manifest.input.shape) == 1
        names = [column.name for column in declared or ()]
        own = [names[at] if has_names else str(at) for at in positions.tolist()]
        self.names: tuple[str, ...] = (*own, f"{PREDICTIONS} (of the model)" if PREDICTIONS in own else PREDICTIONS)
        """The columns' names, (c + 1,), all different."""

    def __call__(self, rows: Rows, predictions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The values of rows (n, *shape) and their predicted classes (n,), (`rows_read(n)`, c + 1), as a copy.

        NaN is a missing value. Of more than MOST_ROWS rows, MOST_ROWS evenly spaced ones are read.
        """
        if len(rows) > MOST_ROWS:
            places = np.arange(MOST_ROWS) * len(rows) // MOST_ROWS
            rows, predictions = rows[places], predictions[places]
        found = np.empty((len(rows), len(self._positions) + 1))
        flat = rows.reshape(len(rows), -1)
        found[:, :-1] = flat if len(self._positions) == flat.shape[1] else flat[:, self._positions]
        found[:, -1] = predictions
        return found


def rows_read(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """How many rows are read of requests with `rows` (k,) rows, (k,)."""
    return np.minimum(rows, MOST_ROWS)
