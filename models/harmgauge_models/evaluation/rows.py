"""The labelled rows on which a bundle is judged, in its classifier's input form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.rows import Array
from harmgauge_models.data.frames import SUFFIXES, read_frame
from harmgauge_models.data.npz_rows import LABEL
from harmgauge_models.data.served_rows import fit_served
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.labels import Labels, classes
from harmgauge_models.evaluation.reading import MIN_ROWS, read_arrays
from harmgauge_models.graphs.records import TEXT, make_records


@dataclass(frozen=True)
class LabelledRows:
    """Instances `x` in the bundle's form, (n, *shape) in its dtype or records; their classes `y` (n,), and the `other`
    arrays of the file.
    """

    x: Array
    y: Labels
    other: dict[str, Array]


def read(path: Path, bundle: Bundle, label: str | None, tokenizer: Tokenizer | None) -> LabelledRows:
    """Read rows and labels from an `.npz` file or a table. Raises UserError if they do not fit the bundle."""
    manifest = bundle.manifest
    if label is None and path.suffix not in SUFFIXES and not manifest.is_named:
        return _read_npz(path, manifest)
    arrays = read_frame(path) if path.suffix in SUFFIXES and path.is_file() else _named_arrays(path)
    name = label or LABEL
    if name not in arrays:
        there = ", ".join(list(arrays)[:8])
        raise UserError(f"{path} holds no labels {name!r}; it has {there}: name the column or array with --label")
    y = arrays.pop(name)
    x = (
        arrays.pop("x")
        if "x" in arrays and not (manifest.is_named and len(manifest.inputs) > 1)
        else make_records(arrays)
    )
    if len(x) < MIN_ROWS:
        raise UserError(f"{path} holds {len(x)} rows; expected at least {MIN_ROWS}")
    fitted = fit_served(x, bundle, tokenizer, path)
    if not manifest.is_named:
        fitted = as_instances(fitted, f"{path}: x", manifest)
    used = {taken.name for taken in manifest.inputs} | {TEXT}
    other = {key: values for key, values in arrays.items() if key not in used}
    return LabelledRows(fitted, classes(_labels(y), manifest.class_names, len(x), path), other)


def _named_arrays(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise UserError(
            f"expected a file with rows and labels, got {path}: make an .npz file with an array for each input and the "
            "labels y, or a table (.parquet, .csv) with a column for each"
        )
    return read_arrays(path)


def _labels(y: Array) -> Array:
    """Labels of a table, which may be objects, as NumPy's strings."""
    return y.astype(np.str_) if y.dtype.kind == "O" else y


def _read_npz(path: Path, manifest: Manifest) -> LabelledRows:
    shape = ", ".join(map(str, ("n", *manifest.input.shape)))
    remedy = f"make one with numpy.savez({path.with_suffix('.npz').name!r}, x=rows, y=labels)"
    if not path.is_file():
        raise UserError(f"expected an .npz file with rows x ({shape}) and labels y, got {path}: {remedy}")
    arrays = read_arrays(path)
    if "x" not in arrays or "y" not in arrays:
        lacks = "labels: it has no y" if "x" in arrays else "rows: it has no x"
        raise UserError(f"{path} holds no {lacks}; {remedy}")
    x = as_instances(arrays.pop("x"), f"{path}: x", manifest)
    if len(x) < MIN_ROWS:
        raise UserError(f"{path} holds {len(x)} rows; expected at least {MIN_ROWS}")
    return LabelledRows(x, classes(arrays.pop("y"), manifest.class_names, len(x), path), arrays)


def as_instances(given: Array, what: str, manifest: Manifest) -> Array:
    """Convert rows to the bundle's dtype; raises UserError if it cannot represent them or the service would reject
    them.
    """
    spec = manifest.input
    if given.shape[1:] != spec.shape or given.ndim != 1 + len(spec.shape) or given.dtype.kind not in "iufb":
        shape = ", ".join(map(str, ("n", *spec.shape)))
        raise UserError(
            f"{what} is {given.dtype} {given.shape}; the bundle {manifest.name} accepts {spec.dtype} ({shape})"
        )
    absent = np.isnan(given) if given.dtype.kind == "f" else np.zeros(1, bool)
    if absent.any() and not manifest.inputs[0].missing:
        raise UserError(
            f"{what} holds {int(absent.sum())} missing values (NaN), the first in row {_first(absent)}; the bundle "
            f"{manifest.name} accepts none: fill them in as for the training, or leave these rows out"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        x = given.astype(spec.numpy_dtype)
        held = np.isfinite(x) if spec.numpy_dtype.kind == "f" else x == given
    if not (held | absent).all():
        bad = ~(held | absent)
        raise UserError(
            f"{what} holds {int(bad.sum())} values that are not {spec.dtype}, the first in row {_first(bad)}: "
            f"{given[bad].flat[0]!s}"
        )
    low, high = spec.minimum, spec.maximum
    outside = np.zeros(x.shape, bool)
    if low is not None:
        outside |= x < low
    if high is not None:
        outside |= x > high
    if outside.any():
        raise UserError(
            f"{what} holds {int(outside.sum())} values that the service rejects, the first in row {_first(outside)}: "
            f"{x[outside].flat[0]!s}; expected values from {low} to {high}"
        )
    return np.ascontiguousarray(x)


def _first(mask: Array) -> int:
    return int(np.flatnonzero(mask.reshape(len(mask), -1).any(1))[0])
