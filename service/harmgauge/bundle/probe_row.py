"""Rows for a trial run of a bundle's graph: all zeros (or the minimum), unless the reference has a row for this.

A row of zeros may be meaningless: token ids that are all padding have no mean, and the score is NaN.

The reference has the row of a bundle with one input as the array `probe` (*shape). With named inputs it has the array
`probe.NAME` (1, *shape) for each: strings in fixed-width Unicode, a free axis at the row's length.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import overload

import numpy as np

from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.bundle.reference import Reference
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec, Served
from harmgauge.errors import BundleError

_AGAIN = "build the bundle again"


def blank_rows(spec: InputSpec, rows: int) -> Rows:
    """Rows (rows, *shape) of zeros, or of the minimum if the input has one."""
    return np.full((rows, *spec.shape), spec.minimum or 0, spec.numpy_dtype)


@overload
def probe_rows(served: InputSpec, reference: Reference, rows: int) -> Rows: ...
@overload
def probe_rows(served: Served, reference: Reference, rows: int) -> AnyRows: ...
def probe_rows(served: Served, reference: Reference, rows: int) -> AnyRows:
    """Rows on which the graph gives a finite score: the reference's own row, or blank rows."""
    probe = reference.probe
    if isinstance(served, NamedInputs):
        if not isinstance(probe, Mapping):
            return served.blank(rows)
        return served.rows(probe)[np.zeros(rows, np.intp)]
    if probe is None:
        return blank_rows(served, rows)
    return np.ascontiguousarray(np.broadcast_to(np.asarray(probe), (rows, *served.shape)))


def check_probe(file: Path, reference: Reference, served: Served) -> None:
    """Raises BundleError for a row that a client could not send."""
    probe = reference.probe
    if probe is None:
        return
    if isinstance(probe, Mapping) != isinstance(served, NamedInputs):
        due = "an array for each input" if isinstance(served, NamedInputs) else "one array"
        raise BundleError(f"{file}: the trial row must be {due}, as the inputs in bundle.json: {_AGAIN}")
    if isinstance(served, NamedInputs):
        assert isinstance(probe, Mapping)
        try:
            row = served.rows(probe)
            served.check(row)
        except ValueError as error:
            raise BundleError(f"{file}: the trial row is not valid ({error}): {_AGAIN}") from error
        if len(row) != 1:
            raise BundleError(f"{file}: the trial row must be one row; got {len(row)}: {_AGAIN}")
        return
    _check_array(file, np.asarray(probe), served)


def longest_rows(served: NamedInputs, reference: Reference, length: int) -> NamedRows:
    """One row of this length: the trial row, repeated along its free axis."""
    row = probe_rows(served, reference, 1)
    assert isinstance(row, NamedRows)
    places = np.arange(length) % int(row.lengths[0])
    offsets = np.array([0, length], np.int64)
    return NamedRows(row.fixed, {name: array[places] for name, array in row.free.items()}, offsets)


def _check_array(file: Path, probe: Rows, spec: InputSpec) -> None:
    if probe.dtype != spec.numpy_dtype or probe.shape != spec.shape:
        raise BundleError(f"{file}: 'probe' must be {spec.dtype} {spec.shape}; it is {probe.dtype} {probe.shape}")
    least, most = spec.minimum, spec.maximum
    if (
        np.isinf(probe).any()
        or (np.isnan(probe).any() and not spec.missing)
        or (least is not None and (probe < least).any())
        or (most is not None and (probe > most).any())
    ):
        raise BundleError(f"{file}: 'probe' must contain only values that the input accepts: {_AGAIN}")
