"""Reads calibration rows for a bundle that exists already, in the form of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.manifest import Manifest
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data import image_folder, npz_rows
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.served_rows import fit_served
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.inputs import fit_array


def read_rows(path: Path, bundle: Bundle, tokenizer: Tokenizer | None, label: str | None, min_rows: int) -> Rows:
    """At least `min_rows` rows of a file or a folder, in the bundle's input form, with their labels as they are there.

    Raises UserError, also if a network of the bundle was trained on these rows.
    """
    manifest = bundle.manifest
    names = [taken.name for taken in manifest.inputs]
    rows = _read(path, manifest, label, names, min_rows)
    if rows.sha256 in _trained_with(manifest.made):
        raise UserError(f"a network of this bundle was trained on {path} and errs less on its rows: use other rows")
    x = fit_served(rows.x, bundle, tokenizer, path)
    if not manifest.is_named:
        spec = manifest.input
        x = fit_array(x, spec.dtype, spec.shape, str(path))
        check_values(path, x, spec)
    return replace(rows, x=x)


def check_values(path: Path, x: Array, spec: InputSpec) -> None:
    """Raises UserError if rows `x` (n, *shape) have values that the service would reject."""
    flat = x.reshape(len(x), -1)
    missing = np.isnan(flat).any(1) if x.dtype.kind == "f" else np.zeros(len(x), bool)
    if missing.any() and not spec.missing:
        raise UserError(
            f"{path}: row {np.flatnonzero(missing)[0]} has a missing value (NaN), which this bundle does not accept: "
            "fill it in, or leave the row out"
        )
    low = -np.inf if spec.minimum is None else spec.minimum
    high = np.inf if spec.maximum is None else spec.maximum
    outside = np.flatnonzero(((flat < low) | (flat > high)).any(1))
    if len(outside):
        raise UserError(
            f"{path}: row {outside[0]} has values outside {low:g} to {high:g}, the range that this bundle accepts: are "
            "they in the units that the service receives?"
        )


def _read(path: Path, manifest: Manifest, label: str | None, names: list[str], min_rows: int) -> Rows:
    """Rows of a file, or of a folder of images for a bundle that takes them. Raises UserError."""
    if not path.is_dir() or manifest.is_named or manifest.input.image is None:
        return npz_rows.read(path, "calibration", min_rows, label, names)
    spec = manifest.input
    found = image_folder.read(path, manifest.input.image, spec.image_size)
    if len(found.pixels) < min_rows:
        raise UserError(f"{path} holds {len(found.pixels)} images; expected at least {min_rows}")
    x = np.ascontiguousarray(spec.from_pixels(found.pixels), spec.numpy_dtype)
    return Rows(path, x, None, found.names, found.sha256)


def _trained_with(made: Mapping[str, Any]) -> Iterator[str]:
    """The sha256 of all files that are recorded as training rows."""
    for key, value in made.items():
        if isinstance(value, Mapping):
            if key == "train" and isinstance(value.get("sha256"), str):
                yield value["sha256"]
            yield from _trained_with(value)
