"""Rows for a trial run of a bundle's graph: all zeros (or the minimum), unless the reference has a row for this.

A row of zeros may be meaningless: token ids that are all padding have no mean, and the score is NaN.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harmgauge.bundle.reference import Reference
from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import BundleError


def blank_rows(spec: InputSpec, rows: int) -> Rows:
    """Rows (rows, *shape) of zeros, or of the minimum if the input has one."""
    return np.full((rows, *spec.shape), spec.minimum or 0, spec.numpy_dtype)


def probe_rows(spec: InputSpec, reference: Reference, rows: int) -> Rows:
    """Rows on which the graph gives a finite score: the reference's own row, or blank rows."""
    if reference.probe is None:
        return blank_rows(spec, rows)
    return np.ascontiguousarray(np.broadcast_to(reference.probe, (rows, *spec.shape)))


def check_probe(file: Path, reference: Reference, spec: InputSpec) -> None:
    """Raises BundleError for a row that a client could not send."""
    probe = reference.probe
    if probe is None:
        return
    if probe.dtype != spec.numpy_dtype or probe.shape != spec.shape:
        raise BundleError(f"{file}: 'probe' must be {spec.dtype} {spec.shape}; it is {probe.dtype} {probe.shape}")
    least, most = spec.minimum, spec.maximum
    if (
        np.isinf(probe).any()
        or (np.isnan(probe).any() and not spec.missing)
        or (least is not None and (probe < least).any())
        or (most is not None and (probe > most).any())
    ):
        raise BundleError(f"{file}: 'probe' must contain only values that the input accepts: build the bundle again")
