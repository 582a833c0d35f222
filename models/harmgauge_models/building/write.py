"""Writes a bundle atomically and verifies it with the service's own reader."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle import write as bundle_writing
from harmgauge.bundle.inputs import Input, Preparation
from harmgauge.bundle.load import (
    COLUMNS_FILE,
    DETECTOR_FILE,
    DETECTOR_INT8_FILE,
    REFERENCE_FILE,
    REFERENCE_INT8_FILE,
    SAMPLES_FILE,
)
from harmgauge.bundle.manifest import Chance, DriftSpec, FeaturesSpec, Int8Spec, Manifest, ThresholdSpec
from harmgauge.bundle.part import first_double
from harmgauge.bundle.reference import Reference
from harmgauge.bundle.sketches import Sketches
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import verify
from harmgauge_models.data.samples import Samples
from harmgauge_models.errors import UserError

TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Int8:
    """The graph in 8 bits, its entry in the manifest, and its own reference."""

    graph: bytes
    spec: Int8Spec
    reference: Reference


@dataclass(frozen=True)
class Draft:
    """The contents of a bundle that is not on disk yet. `report` maps file names to contents."""

    name: str
    detector: str
    score: dict[str, Any]
    inputs: tuple[Input, ...]
    preparation: Preparation | None
    tokenizer: bytes | None
    class_names: tuple[str, ...]
    threshold: ThresholdSpec
    error_probability: Chance
    features: FeaturesSpec | None
    drift: DriftSpec
    made: dict[str, Any]
    quality: dict[str, Any]
    graph: bytes
    reference: Reference
    sketches: Sketches
    int8: Int8 | None
    samples: Samples | None
    report: dict[str, bytes]


def reserve(out: Path, name: str, version: str | None) -> Path:
    """The folder for the new bundle, from the service's writer. Raises UserError if it exists already."""
    try:
        return bundle_writing.reserve(out, name, version)
    except BundleError as error:
        raise UserError(str(error)) from error


def class_names_for(given: tuple[str, ...], classes: int) -> tuple[str, ...]:
    """The names of the classes, or their indices if no names are given. Raises UserError."""
    if (double := first_double(given)) is not None:
        raise UserError(f"--class-names has {double!r} twice: give each class a unique name")
    if given and len(given) != classes:
        raise UserError(f"--class-names names {len(given)} classes, the classifier has {classes}")
    return given or tuple(str(index) for index in range(classes))


def write(draft: Draft, folder: Path) -> None:
    """Write the bundle to a temporary folder, read it back as the service will, then move it into place.

    Raises UserError.
    """
    contents = {
        DETECTOR_FILE: draft.graph,
        REFERENCE_FILE: draft.reference.npz(),
        COLUMNS_FILE: draft.sketches.npz(),
    }
    if draft.int8 is not None:
        contents |= {DETECTOR_INT8_FILE: draft.int8.graph, REFERENCE_INT8_FILE: draft.int8.reference.npz()}
    if draft.samples is not None:
        contents[SAMPLES_FILE] = _npz(**draft.samples.arrays)
    if draft.tokenizer is not None:
        contents[TOKENIZER_FILE] = draft.tokenizer
    contents |= {f"report/{name}": data for name, data in draft.report.items()}
    manifest = Manifest(
        schema_version=2,
        name=draft.name,
        version=folder.name,
        detector=draft.detector,
        score=draft.score,
        inputs=draft.inputs,
        preparation=draft.preparation,
        class_names=draft.class_names,
        threshold=draft.threshold,
        int8=draft.int8.spec if draft.int8 else None,
        features=draft.features,
        error_probability=draft.error_probability,
        drift=draft.drift,
        reference={"all": REFERENCE_FILE},
        columns=COLUMNS_FILE,
        made=draft.made,
        quality=draft.quality,
        files={},
    )
    try:
        bundle_writing.write_bundle(manifest, contents, folder, verify)
    except BundleError as error:
        raise UserError(f"the service would reject this bundle: {error}") from error


def _npz(**values: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **values)
    return stream.getvalue()
