"""The bundle: a folder that holds everything the service needs, verified before any of it is used.

`bundle.json` names every other file with its size and sha256; a file that differs, or a setting that does not fit the
rest, is refused with a message that says which. Where public keys are given it must be signed. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.errors import BundleError
from service.inference.folder import read_file
from service.inference.graph.check import check_graph
from service.inference.graph.refused import GraphRefused
from service.inference.reference import MIN_REFERENCE_ROWS, Reference, read_reference
from service.inference.signature import SIGNATURE_BYTES, SIGNATURE_FILE, SignatureState
from service.inference.signature import check as check_signature

MANIFEST_FILE = "bundle.json"
DETECTOR_FILE = "detector.onnx"
REFERENCE_FILE = "reference.npz"
DETECTOR_INT8_FILE = "detector-int8.onnx"
REFERENCE_INT8_FILE = "reference-int8.npz"
SAMPLES_FILE = "samples.npz"

MAX_MANIFEST_BYTES = 2**20
MAX_FILE_BYTES = 2**31
"""What an ONNX file may have at most."""

MAX_ROW_BYTES = 2**30
"""No body may have more."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Precision = Literal["float32", "int8"]
DetectorKind = Literal["distillation", "adversarial_autoencoder"]
Loss = Literal["kld", "xent"]
Dtype = Literal["uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImageSpec(_Part):
    """How a decoded picture (8 bits a channel) becomes an instance: axes put in order, values times `scale`."""

    mode: Literal["L", "RGB"]
    layout: Literal["HWC", "CHW"]
    scale: float = Field(gt=0)


class InputSpec(_Part):
    """One instance: `shape` without the rows' axis; `minimum` and `maximum` are inclusive, absent where unbounded."""

    dtype: Dtype
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1, max_length=8)
    minimum: float | None = None
    maximum: float | None = None
    image: ImageSpec | None = None

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    @cached_property
    def row_size(self) -> int:
        """Numbers in one instance."""
        return math.prod(self.shape)

    @cached_property
    def row_bytes(self) -> int:
        return self.row_size * self.numpy_dtype.itemsize

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height in pixels; only of an image bundle."""
        assert self.image is not None
        height, width = self.shape[:2] if self.image.layout == "HWC" else self.shape[1:]
        return width, height

    @model_validator(mode="after")
    def _row_fits_a_body(self) -> InputSpec:
        if self.row_bytes > MAX_ROW_BYTES:
            raise ValueError(f"one instance has more than {MAX_ROW_BYTES} bytes")
        return self

    @model_validator(mode="after")
    def _image_fits_shape(self) -> InputSpec:
        if self.image is not None:
            channels = 1 if self.image.mode == "L" else 3
            axis = -1 if self.image.layout == "HWC" else 0
            if len(self.shape) != 3 or self.shape[axis] != channels:
                raise ValueError(f"shape {self.shape} is no {self.image.layout} image of mode {self.image.mode}")
        return self


class ThresholdSpec(_Part):
    """`value` is the `percentile` of the scores of `rows` rows of normal data, `source`."""

    value: float = Field(gt=-_FLOAT32_MAX, lt=_FLOAT32_MAX)
    percentile: float = Field(gt=0, le=100)
    rows: int = Field(ge=MIN_REFERENCE_ROWS)
    source: str


class DriftSpec(_Part):
    """Window and alarm of the KS monitor; the alarm is `p <= p_value_threshold`, that is `D >= statistic_threshold`."""

    window_rows: int = Field(ge=2, le=1_000_000)
    rows_between_false_alarms: int = Field(ge=1, le=10**15)
    p_value_threshold: float = Field(gt=0, lt=1)
    statistic_threshold: float = Field(gt=0, le=1)


class Int8Spec(_Part):
    """The same graph in 8 bits, with a threshold and a reference of its own.

    `measured` compares it with the float32 graph: speedup (one thread), rank_correlation of the scores and more.
    """

    threshold: ThresholdSpec
    calibration_rows: int = Field(ge=1)
    measured: dict[str, float]


class FeaturesSpec(_Part):
    """Where the graph's output `features` comes from: the `tensor` of the classifier, `width` numbers an instance."""

    tensor: str
    width: int = Field(ge=1, le=2**20)


class FileSpec(_Part):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class Manifest(_Part):
    """`bundle.json`."""

    schema_version: Literal[1]
    name: Name
    version: Name
    detector: DetectorKind
    loss: Loss
    temperature: float = Field(gt=0)
    input: InputSpec
    class_names: tuple[str, ...] = Field(min_length=2, max_length=2**20)
    threshold: ThresholdSpec
    int8: Int8Spec | None = None
    features: FeaturesSpec | None = None
    drift: DriftSpec
    made: dict[str, Any]
    quality: dict[str, Any]
    files: dict[str, FileSpec] = Field(max_length=1000)


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are what its manifest says.

    `graph` is the serialised ONNX model in `precision`, `reference` its own; `sha256` is the manifest's, and so stands
    for the whole bundle.
    """

    path: Path
    manifest: Manifest
    sha256: str
    graph: bytes
    reference: Reference
    precision: Precision = "float32"
    signature: SignatureState = "none"

    def read(self, name: str) -> bytes:
        """One of its files, verified now. Raises BundleError."""
        return _verified(self.path, name, self.manifest.files[name])

    @property
    def key(self) -> str:
        """Names the graph and its reference: scores under different keys do not compare."""
        return f"{self.sha256[:16]}-{self.precision}"

    @property
    def threshold_spec(self) -> ThresholdSpec:
        int8 = self.manifest.int8
        return int8.threshold if int8 is not None and self.precision == "int8" else self.manifest.threshold

    @property
    def reference_flagged_share(self) -> float:
        """Share of the reference's scores above the threshold: what is flagged without drift."""
        return float((self.reference.scores > self.threshold).mean())

    @property
    def threshold(self) -> np.float32:
        """Scores are compared with it in float32, the precision in which the graph gives them."""
        return np.float32(self.threshold_spec.value)


def load(path: Path, precision: Precision = "float32", public_keys: Sequence[str] = ()) -> Bundle:
    """Read and verify the bundle in folder `path`, with `public_keys` its signature too.

    Raises BundleError; SettingsError where the keys cannot be used.
    """
    try:
        text = read_file(path, MANIFEST_FILE, MAX_MANIFEST_BYTES)
    except BundleError as error:
        raise BundleError(f"{path} is no bundle: {error}") from error
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{path / MANIFEST_FILE} has more than {MAX_MANIFEST_BYTES} bytes: build the bundle again")
    signed = os.path.lexists(path / SIGNATURE_FILE)
    # Before anything that it says is looked at.
    signature = read_file(path, SIGNATURE_FILE, SIGNATURE_BYTES) if signed else None
    state = check_signature(path, text, signature, public_keys)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(f"{path / MANIFEST_FILE}: {where}: {first['msg']}") from error
    if precision == "int8" and manifest.int8 is None:
        raise BundleError(f"{path} has no graph in int8: build it with --int8, or leave HARMGAUGE_PRECISION out")
    files = {"float32": (DETECTOR_FILE, REFERENCE_FILE)}
    if manifest.int8 is not None:
        files["int8"] = (DETECTOR_INT8_FILE, REFERENCE_INT8_FILE)
    for needed in chain(*files.values()):
        if needed not in manifest.files:
            raise BundleError(f"{path / MANIFEST_FILE} does not list {needed} among its files")
    kept = {}
    for name, spec in manifest.files.items():
        data = _verified(path, name, spec)
        if name in files[precision]:
            kept[name] = data
    graph_file, reference_file = files[precision]
    try:
        check_graph(kept[graph_file])
    except GraphRefused as error:
        raise BundleError(f"{path / graph_file} is not served: {error}") from error
    reference = read_reference(path / reference_file, kept[reference_file])
    _check_features(path / reference_file, reference, manifest.features)
    return Bundle(
        path=path,
        manifest=manifest,
        sha256=hashlib.sha256(text).hexdigest(),
        graph=kept[graph_file],
        reference=reference,
        precision=precision,
        signature=state,
    )


def _check_features(file: Path, reference: Reference, spec: FeaturesSpec | None) -> None:
    width = None if reference.features is None else reference.features.shape[1]
    if width != (None if spec is None else spec.width):
        promised = "no features" if spec is None else f"features of width {spec.width}"
        raise BundleError(f"{file} has features of width {width}, and the manifest speaks of {promised}")


def _verified(path: Path, name: str, spec: FileSpec) -> bytes:
    data = read_file(path, name, spec.bytes)
    if len(data) != spec.bytes:
        found = f"{len(data)}" if len(data) < spec.bytes else "too many"
        raise BundleError(f"{path / name} has {found} bytes, its manifest says {spec.bytes}: copy the bundle again")
    if hashlib.sha256(data).hexdigest() != spec.sha256:
        raise BundleError(
            f"{path / name} is not the file its manifest describes (sha256 differs): copy the bundle again"
        )
    return data
