"""Columns by which clean rows are split into parts that differ harmlessly."""

from __future__ import annotations

import numpy as np

from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.rows import Array
from harmgauge_models.evaluation.accuracy.judged import Float64
from harmgauge_models.evaluation.cases import Cases
from harmgauge_models.evaluation.measure import CLEAN
from harmgauge_models.graphs.records import are_records, row_lengths

MOST_COLUMNS = 8


def columns_of(found: Cases, manifest: Manifest) -> dict[str, Float64]:
    """For the clean rows, (n,) each: up to MOST_COLUMNS columns, spread over the table; for rows that are not a table,
    the mean and the standard deviation of their values.
    """
    x = found.copies[CLEAN].make()
    if are_records(x):
        return _of_records(x, manifest)
    if x.ndim == 2 and found.layout == "table":
        named = manifest.inputs[0].columns
        picked = np.unique(np.linspace(0, x.shape[1] - 1, min(MOST_COLUMNS, x.shape[1])).astype(int)).tolist()
        return {f"column {i}" if named is None else named[i].name: x[:, i].astype(np.float64) for i in picked}
    flat = x.reshape(len(x), -1).astype(np.float32)
    missing = np.isnan(flat)
    flat = np.where(missing, 0, flat)
    of_pictures = found.pictures is not None
    names = ("brightness", "contrast") if of_pictures else ("mean", "standard deviation")
    return {name: values.astype(np.float64) for name, values in zip(names, (flat.mean(1), flat.std(1)), strict=True)}


def _of_records(x: Array, manifest: Manifest) -> dict[str, Float64]:
    """Single numbers as they are; texts and token ids by their length."""
    found: dict[str, Float64] = {}
    lengths = row_lengths(x)
    if lengths is not None:
        found["length"] = lengths.astype(np.float64)
    for taken in manifest.inputs:
        values = x[taken.name]
        if taken.is_text and taken.categories is None and taken.shape in ((), (1,)):
            found[f"length of {taken.name}"] = np.array([len(text) for text in values.reshape(-1)], np.float64)
        elif not taken.is_text and taken.shape in ((), (1,)):
            found[taken.name] = np.nan_to_num(values.reshape(-1).astype(np.float64))
    names = list(found)
    picked = np.unique(np.linspace(0, len(names) - 1, min(MOST_COLUMNS, len(names))).astype(int)).tolist()
    return {names[place]: found[names[place]] for place in picked}
