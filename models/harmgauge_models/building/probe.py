"""The row that the service uses to test a bundle's graph, if zeros are unsuitable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.probe_row import blank_rows
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data.record_inputs import one_row
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.records import row_lengths
from harmgauge_models.graphs.run import predict


def choose_probe(
    graph: bytes, x: Array, spec: InputSpec | None, inputs: Sequence[Input]
) -> Array | Mapping[str, Array] | None:
    """The row for the reference: see `_probe` and, without a `spec`, `_named_probe`. Raises UserError."""
    return _named_probe(graph, x, inputs) if spec is None else _probe(graph, x, spec)


def _named_probe(graph: bytes, x: Array, inputs: Sequence[Input]) -> Mapping[str, Array]:
    """A record made from the records `x`, (1, *shape) by name: a typical one, otherwise one of `x`, without padding."""
    for row in (one_row(x, inputs), x[:1]):
        if _finite(graph, row):
            lengths = row_lengths(row)
            return {taken.name: _stored(row[taken.name], taken, lengths) for taken in inputs}
    raise UserError("no calibration row has a finite score if it is scored alone: check the data and both networks")


def _stored(values: Array, taken: Input, lengths: npt.NDArray[np.intp] | None) -> Array:
    if taken.is_text:
        return values.astype(np.str_)
    return values if lengths is None or None not in taken.shape else values[:, : int(lengths[0])]


def _probe(graph: bytes, x: Array, spec: InputSpec) -> Array | None:
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
