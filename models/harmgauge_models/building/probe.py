"""The row that the service uses to test a bundle's graph, if zeros are unsuitable."""

from __future__ import annotations

import numpy as np

from harmgauge.bundle.probe_row import blank_rows
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import predict


def choose_probe(graph: bytes, x: Array, spec: InputSpec) -> Array | None:
    """Choose a row (*shape) with a finite score; None if zeros have one, as with most graphs.

    It consists of the medians of the calibration rows `x` (n, *shape), so that it discloses no single row. If its score
    is not finite, one of the calibration rows is used. Raises UserError if that row has no finite score when it is
    scored alone.
    """
    if _finite(graph, blank_rows(spec, 1)):
        return None
    flat = x.reshape(len(x), -1)
    known = np.flatnonzero(~np.isnan(flat).any(1)) if x.dtype.kind == "f" else np.arange(len(x))
    tried = [x[known[:1]] if len(known) else x[:1]]
    if len(known):
        tried.insert(0, np.quantile(flat[known], 0.5, axis=0, method="lower").astype(x.dtype).reshape(1, *x.shape[1:]))
    for row in tried:
        if _finite(graph, row):
            chosen: Array = row[0]
            return chosen
    raise UserError("no calibration row has a finite score if it is scored alone: check the data and both networks")


def _finite(graph: bytes, row: Array) -> bool:
    try:
        return bool(np.isfinite(predict(graph, row, "probe", "score")).all())
    except UserError:
        return False
