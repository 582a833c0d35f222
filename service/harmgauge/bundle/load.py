"""Loads a bundle: a folder with everything that the service needs, verified before any of it is used.

`bundle.json` lists every other file with its size and sha256. If a file differs, or a setting does not fit the rest,
the bundle is refused with a message that names it. With public keys, the bundle must be signed. Nothing is unpickled.
Files that this process does not serve are hashed, in pieces, and not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ValidationError

from harmgauge.bundle.folder import file_sha256, file_size_bytes, read_file
from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.graph.refused import GraphRefused
from harmgauge.bundle.inputs import ErrorProbability
from harmgauge.bundle.judgement import one_line
from harmgauge.bundle.manifest import FeaturesSpec, FileSpec, Manifest, Precision, ThresholdSpec
from harmgauge.bundle.part import first_double
from harmgauge.bundle.probe_row import check_probe
from harmgauge.bundle.reference import Reference, read_reference
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.schema1 import ManifestOfSchema1
from harmgauge.bundle.served_input import not_served
from harmgauge.bundle.signature import SIGNATURE_BYTES, SIGNATURE_FILE, SignatureState
from harmgauge.bundle.signature import check as check_signature
from harmgauge.bundle.sketches import Sketches, read_sketches
from harmgauge.errors import BundleError

MANIFEST_FILE = "bundle.json"
DETECTOR_FILE = "detector.onnx"
REFERENCE_FILE = "reference.npz"
DETECTOR_INT8_FILE = "detector-int8.onnx"
REFERENCE_INT8_FILE = "reference-int8.npz"
SAMPLES_FILE = "samples.npz"
COLUMNS_FILE = "columns.npz"

MAX_MANIFEST_BYTES = 2**20

MAX_OTHER_BYTES = 2**29
"""Limit for all files that are neither graphs nor references (samples and reports) together, because every start hashes
them.
"""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files match its manifest.

    `graph` is the serialised ONNX model in `precision`, `reference` the matching reference, `sketches` are those of its
    columns, if it has any; `sha256` is that of the manifest, and so identifies the whole bundle.
    """

    path: Path
    manifest: Manifest
    sha256: str
    graph: bytes
    reference: Reference
    precision: Precision = "float32"
    signature: SignatureState = "none"
    sketches: Sketches | None = None

    def read(self, name: str) -> bytes:
        """Read one of the bundle's files, verified now. Raises BundleError."""
        return _verified(self.path, name, self.manifest.files[name])

    @property
    def key(self) -> str:
        """Identifies the graph and its reference: scores under different keys are not comparable."""
        return f"{self.sha256[:16]}-{self.precision}"

    @property
    def threshold_spec(self) -> ThresholdSpec:
        int8 = self.manifest.int8
        return int8.threshold if int8 is not None and self.precision == "int8" else self.manifest.threshold

    @property
    def error_probability(self) -> ErrorProbability | None:
        """Parameters of the graph's output `error_probability`; None if it has no such output."""
        found = self._chance
        return found if isinstance(found, ErrorProbability) else None

    @property
    def no_error_probability(self) -> str | None:
        """Why the graph gives no error probability, as one line; None if it does."""
        found = self._chance
        if found is None:
            return "the bundle has none for its 8-bit graph: harmgauge calibrate adds one"
        if isinstance(found, ErrorProbability):
            return None
        return one_line(found) or "the bundle does not say why"

    @property
    def _chance(self) -> ErrorProbability | str | None:
        int8 = self.manifest.int8
        if int8 is None or self.precision == "float32":
            return self.manifest.error_probability
        return int8.error_probability

    @property
    def reference_flagged_share(self) -> float:
        """Share of the reference's scores above the threshold, which is the share flagged without drift."""
        return float((self.reference.scores > self.threshold).mean())

    @property
    def threshold(self) -> np.float32:
        """The threshold in float32, the graph's precision, in which scores are compared with it."""
        return np.float32(self.threshold_spec.value)


def load(path: Path | str, precision: Precision = "float32", public_keys: Sequence[str] = ()) -> Bundle:
    """Read and verify the bundle in folder `path`, and its signature if there are `public_keys`.

    Raises BundleError; SettingsError if the keys cannot be used.
    """
    path = Path(path)
    text = read_manifest_text(path)
    signed = os.path.lexists(path / SIGNATURE_FILE)
    # Read before any of its contents are used.
    signature = read_file(path, SIGNATURE_FILE, SIGNATURE_BYTES) if signed else None
    state = check_signature(path, text, signature, public_keys)
    manifest = read_manifest(path / MANIFEST_FILE, text)
    if precision == "int8" and manifest.int8 is None:
        raise BundleError(f"{path} has no int8 graph: build it with --int8, or unset HARMGAUGE_PRECISION")
    files = {"float32": (DETECTOR_FILE, manifest.reference_file)}
    if manifest.int8 is not None:
        files["int8"] = (DETECTOR_INT8_FILE, REFERENCE_INT8_FILE)
    more = () if manifest.columns is None else (manifest.columns,)
    for needed in (*chain(*files.values()), *more):
        if needed not in manifest.files:
            raise BundleError(f"{path / MANIFEST_FILE} does not list {needed} among its files")
    other_bytes = sum(spec.bytes for name, spec in manifest.files.items() if name not in chain(*files.values()))
    if other_bytes > MAX_OTHER_BYTES:
        raise BundleError(
            f"{path / MANIFEST_FILE}: the files other than graphs and references have {other_bytes} bytes together; "
            f"expected at most {MAX_OTHER_BYTES}: remove from the bundle what the service does not need"
        )
    kept = {}
    for name, spec in manifest.files.items():
        if (size_bytes := file_size_bytes(path, name)) != spec.bytes:
            raise _wrong_size(path / name, size_bytes, spec)
        if name in files[precision] or name in more:
            kept[name] = _verified(path, name, spec)
        elif file_sha256(path, name, spec.bytes) != spec.sha256:
            raise _differs(path / name)
    graph_file, reference_file = files[precision]
    try:
        check_graph(kept[graph_file])
    except GraphRefused as error:
        raise BundleError(f"{path / graph_file} cannot be served: {error}") from error
    reference = read_reference(path / reference_file, kept[reference_file])
    _check_features(path / reference_file, reference, manifest.features)
    check_probe(path / reference_file, reference, manifest.served)
    sketches = None
    if manifest.columns is not None:
        file, classes = manifest.columns, len(manifest.class_names)
        sketches = read_sketches(path / file, kept[file], RowColumns(manifest.served), classes)
    return Bundle(
        path=path,
        manifest=manifest,
        sha256=hashlib.sha256(text).hexdigest(),
        graph=kept[graph_file],
        reference=reference,
        precision=precision,
        signature=state,
        sketches=sketches,
    )


def read_manifest_text(path: Path) -> bytes:
    """The bytes of `bundle.json` in the folder `path`. Raises BundleError."""
    try:
        text = read_file(path, MANIFEST_FILE, MAX_MANIFEST_BYTES)
    except BundleError as error:
        raise BundleError(f"{path} is not a bundle: {error}") from error
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path / MANIFEST_FILE} has more than {MAX_MANIFEST_BYTES} bytes: build the bundle again")
    return text


def read_manifest(file: Path, text: bytes) -> Manifest:
    """Parse the contents `text` of a `bundle.json` in any schema version, and convert it to the newest.

    Raises BundleError.
    """
    version = None
    with suppress(ValidationError):
        version = _Version.model_validate_json(text).schema_version
    if version is not None and version not in (1, 2):
        raise BundleError(
            f"{file}: schema_version is {version}; this harmgauge supports 1 and 2: use a newer harmgauge"
        )
    try:
        if version == 1:
            manifest = ManifestOfSchema1.model_validate_json(text).upgraded()
        else:
            manifest = Manifest.model_validate_json(text)
        if (reason := not_served(manifest)) is not None:
            raise BundleError(f"{file}: {reason}: use a newer harmgauge")
        _ = manifest.served
        _refuse_doubles(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(f"{file}: {where}: {first['msg']}") from error
    except ValueError as error:
        raise BundleError(f"{file}: {error}") from error
    return manifest


class _Version(BaseModel):
    schema_version: int


def _refuse_doubles(text: bytes) -> None:
    """Raises ValueError if an object has a key twice: parsers differ in which of the two they use."""

    def once_each(pairs: list[tuple[str, object]]) -> None:
        if (double := first_double(key for key, _ in pairs)) is not None:
            raise ValueError(f"it has the key {double[:64]!r} twice in one object: keep one")

    json.loads(text, object_pairs_hook=once_each)


def _check_features(file: Path, reference: Reference, spec: FeaturesSpec | None) -> None:
    width = None if reference.features is None else reference.features.shape[1]
    if width != (None if spec is None else spec.width):
        promised = "no features" if spec is None else f"features of width {spec.width}"
        raise BundleError(f"{file} has features of width {width}, but the manifest declares {promised}")


def _verified(path: Path, name: str, spec: FileSpec) -> bytes:
    data = read_file(path, name, spec.bytes)
    if len(data) != spec.bytes:
        raise _wrong_size(path / name, len(data), spec)
    if hashlib.sha256(data).hexdigest() != spec.sha256:
        raise _differs(path / name)
    return data


def _wrong_size(file: Path, found_bytes: int, spec: FileSpec) -> BundleError:
    return BundleError(f"{file} has {found_bytes} bytes, but the manifest says {spec.bytes}: copy the bundle again")


def _differs(file: Path) -> BundleError:
    return BundleError(f"{file} is not the file that the manifest describes (sha256 differs): copy the bundle again")
