"""`harmgauge calibrate`: writes the next version of a bundle, with P(wrong) added and everything else unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np

from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.load import DETECTOR_FILE, DETECTOR_INT8_FILE, Bundle, load
from harmgauge.bundle.manifest import Chance, Manifest
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge.bundle.write import reserve, write_bundle
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import verify
from harmgauge_models.calibration.calibrate import calibrated
from harmgauge_models.calibration.known import MIN_ROWS, Known, check_accuracy
from harmgauge_models.calibration.reasons import why_none
from harmgauge_models.calibration.sentences import sentence
from harmgauge_models.data import image_folder, labels, npz_rows
from harmgauge_models.data.columns import Layout, find_columns
from harmgauge_models.data.disturber import ByKind
from harmgauge_models.data.disturbers import disturber_for
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.record_disturbers import record_disturber
from harmgauge_models.data.served_rows import fit_served, tokenizer_of
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.inputs import fit_array

ROWS_KAPPA = 0.3
"""Kappa of heads for rows on disturbances that they have not seen: it was .17 to .47 on four tables."""


@dataclass(frozen=True)
class Wanted:
    """The arguments of `calibrate`; if `out` is None, the old bundle's folder of bundles is used."""

    bundle: Path
    calibration: Path
    accuracy: float | None = None
    out: Path | None = None
    version: str | None = None
    label: str | None = None
    seed: int = 0
    command: str = ""
    say: Callable[[str], None] = field(default=print, repr=False)


def calibrate_bundle(wanted: Wanted) -> Path:
    """Fit P(wrong) and write the bundle's next version; returns its folder. Raises UserError or BundleError."""
    bundle = load(wanted.bundle)
    manifest = bundle.manifest
    if (reason := why_none(manifest.detector, _second_network(manifest))) is not None:
        raise UserError(f"{wanted.bundle}: {reason}")
    check_accuracy(wanted.accuracy)
    try:
        folder = reserve(wanted.out or _bundles(wanted.bundle, manifest.name), manifest.name, wanted.version)
    except BundleError as error:
        raise UserError(str(error)) from error
    tokenizer = tokenizer_of(bundle)
    rows = _rows(wanted, bundle, tokenizer)
    check_accuracy(wanted.accuracy, rows.y)
    contents = {name: bundle.read(name) for name in manifest.files}
    contents[DETECTOR_FILE], chance = _fitted(bundle, rows, wanted, tokenizer)
    if isinstance(chance, str):
        raise UserError(f"accuracy cannot be estimated: {chance}")
    changes: dict[str, Any] = {"error_probability": chance}
    if manifest.int8 is not None:
        contents[DETECTOR_INT8_FILE], chance = _fitted(load(wanted.bundle, "int8"), rows, wanted, tokenizer)
        changes["int8"] = manifest.int8.model_copy(update={"error_probability": chance})
    record: dict[str, Any] = {
        "command": wanted.command,
        "calibration": npz_rows.provenance(rows),
        "stated_accuracy": wanted.accuracy,
        "seed": wanted.seed,
        "bundle_sha256": bundle.sha256,
        "harmgauge": version("harmgauge"),
    }
    changes["made"] = {**manifest.made, "error_probability": record}
    write_bundle(manifest.model_copy(update=changes), contents, folder, verify)
    return folder


def _bundles(bundle: Path, name: str) -> Path:
    """The folder that contains this bundle as NAME/VERSION. Raises UserError if the bundle is elsewhere."""
    above = bundle.resolve().parent
    if above.name != name:
        raise UserError(
            f"{bundle} is not in a folder {name}, where its next version belongs: choose a folder for bundles "
            "with --out"
        )
    return above.parent


def _second_network(manifest: Manifest) -> Mapping[str, Any]:
    """The manifest's record of how the second network was made, which may contain anything."""
    return _mapping(manifest.made.get("second_network"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _rows(wanted: Wanted, bundle: Bundle, tokenizer: Tokenizer | None) -> Rows:
    """Calibration rows in the bundle's input form, with labels among its classes. Raises UserError."""
    path, manifest = wanted.calibration, bundle.manifest
    names = [taken.name for taken in manifest.inputs]
    rows = _read(path, manifest, wanted.label, names)
    if rows.sha256 in _trained_with(manifest.made):
        raise UserError(f"a network of this bundle was trained on {path} and errs less on its rows: use other rows")
    x = fit_served(rows.x, bundle, tokenizer, path)
    if not manifest.is_named:
        spec = manifest.input
        x = fit_array(x, spec.dtype, spec.shape, str(path))
        _check_values(path, x, spec)
    return labels.numbered(replace(rows, x=x), manifest.class_names, len(manifest.class_names))


def _read(path: Path, manifest: Manifest, label: str | None, names: list[str]) -> Rows:
    """Rows of a file, or of a folder of images for a bundle that takes them. Raises UserError."""
    if not path.is_dir() or manifest.is_named or manifest.input.image is None:
        return npz_rows.read(path, "calibration", MIN_ROWS, label, names)
    spec = manifest.input
    found = image_folder.read(path, manifest.input.image, spec.image_size)
    if len(found.pixels) < MIN_ROWS:
        raise UserError(f"{path} holds {len(found.pixels)} images; expected at least {MIN_ROWS}")
    x = np.ascontiguousarray(spec.from_pixels(found.pixels), spec.numpy_dtype)
    return Rows(path, x, None, found.names, found.sha256)


def _trained_with(made: Mapping[str, Any]) -> Iterator[str]:
    """The sha256 of all files that are recorded as training rows."""
    for key, value in made.items():
        if isinstance(value, Mapping):
            if key == "train" and isinstance(value.get("sha256"), str):
                yield value["sha256"]
            yield from _trained_with(value)


def _check_values(path: Path, x: Array, spec: InputSpec) -> None:
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


def _disturber(bundle: Bundle, x: Array, tokenizer: Tokenizer | None) -> ByKind:
    manifest = bundle.manifest
    if manifest.is_named:
        return record_disturber(bundle.graph, "probabilities", x, manifest.inputs, tokenizer)
    stated = _mapping(_second_network(manifest).get("rows")).get("layout")
    layout = next((layout for layout in get_args(Layout) if layout == stated), None)
    return disturber_for(bundle.graph, "probabilities", manifest.input, x, find_columns(x, layout))


def _fitted(bundle: Bundle, rows: Rows, wanted: Wanted, tokenizer: Tokenizer | None) -> tuple[bytes, Chance]:
    """The graph with P(wrong), and its fit, or why there is none."""
    x = rows.x
    disturber = _disturber(bundle, x, tokenizer)
    known = Known(x, rows.y, wanted.accuracy)
    what = "the graph" if bundle.precision == "float32" else "the graph in 8 bits"
    graph, found = calibrated(bundle.graph, disturber, known, seed=wanted.seed, what=what)
    before = bundle.error_probability
    if isinstance(found, ErrorProbability):
        # A head for rows has seen these disturbances. Only `build` has networks that have not, and can measure kappa
        # with them.
        unseen = ROWS_KAPPA if bundle.manifest.made["second_network"].get("rows") else 0.0
        least = unseen if before is None else before.kappa
        if found.kappa < least:
            found = found.model_copy(update={"kappa": least})
            if before is None:
                wanted.say(
                    f"kappa is set to {least}, as measured on other tables: the second network was trained on these "
                    "disturbances. harmgauge build measures it"
                )
    wanted.say(f"{bundle.precision}: {sentence(found)}")
    return graph, found
