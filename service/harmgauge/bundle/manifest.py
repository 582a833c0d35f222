"""`bundle.json`: what a bundle says of itself, each value with its bounds."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from harmgauge.bundle.reference import MIN_REFERENCE_ROWS

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
