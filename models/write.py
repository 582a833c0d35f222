"""Writing a bundle: all of it or nothing, and verified by the service's own reader."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import UserError
from models.samples import Samples
from service.errors import BundleError
from service.inference.bundle import (
    DETECTOR_FILE,
    DETECTOR_INT8_FILE,
    MANIFEST_FILE,
    REFERENCE_FILE,
    REFERENCE_INT8_FILE,
    SAMPLES_FILE,
    DetectorKind,
    DriftSpec,
    FileSpec,
    InputSpec,
    Int8Spec,
    Loss,
    Manifest,
    ThresholdSpec,
    load,
)
from service.inference.runtime import OnnxRuntime


@dataclass(frozen=True)
class Int8:
    """The graph in 8 bits, what the manifest says of it, and its sorted scores of the calibration rows."""

    graph: bytes
    spec: Int8Spec
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draft:
    """Everything that a bundle holds, not yet on disk. `report` maps file names to contents."""

    name: str
    detector: DetectorKind
    loss: Loss
    temperature: float
    input: InputSpec
    class_names: tuple[str, ...]
    threshold: ThresholdSpec
    drift: DriftSpec
    made: dict[str, Any]
    quality: dict[str, Any]
    graph: bytes
    scores: npt.NDArray[np.float64]
    int8: Int8 | None
    samples: Samples | None
    report: dict[str, bytes]


def reserve(out: Path, name: str, version: str | None) -> Path:
    """The folder for the new bundle: `version`, or the next free number. Refuses one that is there already."""
    if version is None:
        taken = [int(path.name) for path in (out / name).glob("*") if path.name.isdecimal()]
        version = str(max(taken, default=0) + 1)
    folder = out / name / version
    if folder.exists():
        raise UserError(f"{folder} exists; leave out --version for the next number, or choose another --out")
    return folder


def class_names_for(given: tuple[str, ...], classes: int) -> tuple[str, ...]:
    if given and len(given) != classes:
        raise UserError(f"--class-names names {len(given)} classes, the classifier has {classes}")
    return given or tuple(str(index) for index in range(classes))


def write(draft: Draft, folder: Path) -> None:
    """Write the bundle beside its place, read it back as the service will, then move it there. Raises UserError."""
    contents = {DETECTOR_FILE: draft.graph, REFERENCE_FILE: _npz(scores=draft.scores)}
    if draft.int8 is not None:
        contents |= {DETECTOR_INT8_FILE: draft.int8.graph, REFERENCE_INT8_FILE: _npz(scores=draft.int8.scores)}
    if draft.samples is not None:
        contents[SAMPLES_FILE] = _npz(**draft.samples.arrays)
    contents |= {f"report/{name}": data for name, data in draft.report.items()}
    manifest = Manifest(
        schema_version=1,
        name=draft.name,
        version=folder.name,
        detector=draft.detector,
        loss=draft.loss,
        temperature=draft.temperature,
        input=draft.input,
        class_names=draft.class_names,
        threshold=draft.threshold,
        int8=draft.int8.spec if draft.int8 else None,
        drift=draft.drift,
        made=draft.made,
        quality=draft.quality,
        files={
            name: FileSpec(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data)) for name, data in contents.items()
        },
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
        new = Path(unfinished) / folder.name
        for name, data in contents.items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        (new / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1, exclude_none=True) + "\n")
        try:
            OnnxRuntime(load(new), "cpu")
            if draft.int8 is not None:
                OnnxRuntime(load(new, "int8"), "cpu")
        except BundleError as error:
            raise UserError(f"the service would refuse this bundle: {error}") from error
        shutil.move(new, folder)


def _npz(**values: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **values)
    return stream.getvalue()
