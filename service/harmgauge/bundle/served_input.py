"""The input of a bundle with one array of numbers, and a check for parts of the format that this version does not
support yet.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from harmgauge.bundle.image_spec import MODES, ImageSpec
from harmgauge.bundle.inputs import Column, Input, Pictures, Preparation
from harmgauge.bundle.named_inputs import MAX_ROW_BYTES, NamedInputs, is_by_column
from harmgauge.bundle.part import Dtype, Part, Text
from harmgauge.bundle.rows import Rows

if TYPE_CHECKING:
    from harmgauge.bundle.manifest import Manifest


class InputSpec(Part):
    """One instance: `shape` excludes the row axis; `minimum` and `maximum` are inclusive, None if unbounded.

    With `missing`, NaN is a missing value. `columns` name the numbers of an input with one axis.
    """

    name: Text = "input"
    dtype: Dtype
    shape: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1, max_length=8)
    minimum: float | None = None
    maximum: float | None = None
    image: ImageSpec | None = None
    missing: bool = False
    columns: tuple[Column, ...] | None = None

    @cached_property
    def by_column(self) -> NamedInputs | None:
        """The same input in terms of records; None without columns."""
        return None if self.columns is None else NamedInputs(inputs=(described(self),))

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(self.dtype)

    @cached_property
    def wire_dtype(self) -> np.dtype[Any]:
        """Little-endian, whatever this machine is."""
        return self.numpy_dtype.newbyteorder("<")

    @cached_property
    def row_size(self) -> int:
        """Numbers in one instance."""
        return math.prod(self.shape)

    @cached_property
    def row_bytes(self) -> int:
        return self.row_size * self.numpy_dtype.itemsize

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height in pixels; only for an image bundle."""
        assert self.image is not None
        height, width = self.shape[:2] if self.image.layout == "HWC" else self.shape[1:]
        return width, height

    def to_pixels(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """Instances (n, *shape) of an image bundle as 8-bit pixels (n, height, width, channels)."""
        assert self.image is not None
        return self.image.to_pixels(rows)

    def from_pixels(self, pixels: npt.NDArray[np.uint8]) -> Rows:
        """The inverse: not yet in the bundle's dtype, but as floats if values are scaled or normalised."""
        assert self.image is not None
        return self.image.of_pixels(pixels)

    @model_validator(mode="after")
    def _row_fits_a_body(self) -> Self:
        if self.row_bytes > MAX_ROW_BYTES:
            raise ValueError(f"one instance has more than {MAX_ROW_BYTES} bytes")
        return self

    @model_validator(mode="after")
    def _image_fits_shape(self) -> Self:
        if (image := self.image) is not None:
            axis = -1 if image.layout == "HWC" else 0
            if len(self.shape) != 3 or self.shape[axis] != image.channels:
                raise ValueError(f"shape {self.shape} is not an {image.layout} image of mode {image.mode}")
            width, height = self.image_size
            if image.crop_size not in (None, (width, height)):
                raise ValueError(f"crop {image.crop} does not give the input's {width} x {height} pixels")
            if image.crop is None and image.resize not in (None, min(width, height)):
                raise ValueError(f"resize {image.resize} without crop does not give {width} x {height} pixels")
        return self

    @model_validator(mode="after")
    def _missing_needs_nan(self) -> Self:
        if self.missing and not self.dtype.startswith("float"):
            raise ValueError(f"missing requires a floating-point dtype, but dtype is {self.dtype}")
        return self


def not_served(manifest: Manifest) -> str | None:
    """The part of the bundle that this version does not support; None if it supports all of it."""
    checks = {
        "references by context": len(manifest.reference) > 1,
    }
    return next((f"this version does not support {what}" for what, is_there in checks.items() if is_there), None)


Served = InputSpec | NamedInputs
"""One array of numbers, or inputs by name."""


def served_inputs(manifest: Manifest) -> Served:
    """The inputs of a bundle that this version can serve. Raises ValueError if its parts are inconsistent."""
    found, prepared = manifest.inputs[0], manifest.preparation
    tokenizer = None if prepared is None or prepared.text is None else prepared.text.tokenizer
    if len(manifest.inputs) > 1 or found.is_text or not found.shape or None in found.shape or tokenizer is not None:
        if prepared is not None and prepared.pictures is not None:
            raise ValueError("pictures are for bundles with one input of numbers")
        if tokenizer is not None and tokenizer not in manifest.files:
            raise ValueError(f"the tokenizer {tokenizer!r} is not among the files")
        return NamedInputs(inputs=manifest.inputs, tokenizer=tokenizer)
    return _array_input(manifest)


def _array_input(manifest: Manifest) -> InputSpec:
    found = manifest.inputs[0]
    minimum, maximum = found.range or (None, None)
    if found.vocabulary_size is not None:
        minimum, maximum = 0, found.vocabulary_size - 1
    pictures = None if manifest.preparation is None else manifest.preparation.pictures
    shape = tuple(length for length in found.shape if length is not None)
    assert found.dtype != "string"
    return InputSpec(
        name=found.name,
        dtype=found.dtype,
        shape=shape,
        minimum=minimum,
        maximum=maximum,
        image=None if pictures is None else _image(pictures, shape),
        missing=found.missing,
        columns=found.columns if is_by_column(found) else None,
    )


def described(spec: InputSpec) -> Input:
    """The same input in terms of the bundle format."""
    bounds = (spec.minimum, spec.maximum)
    return Input(
        name=spec.name,
        dtype=spec.dtype,
        shape=spec.shape,
        range=None if bounds == (None, None) else bounds,
        missing=spec.missing,
        columns=spec.columns,
    )


def preparation(spec: InputSpec) -> Preparation | None:
    """The preparation that converts images to such an input, if any."""
    if spec.image is None:
        return None
    return Preparation(pictures=Pictures(**spec.image.model_dump(exclude={"mode"})))


def _image(pictures: Pictures, shape: tuple[int, ...]) -> ImageSpec:
    channels = (shape[-1] if pictures.layout == "HWC" else shape[0]) if len(shape) == 3 else 0
    if channels not in MODES:
        raise ValueError(f"shape {shape} is not an {pictures.layout} image with 1 or 3 channels")
    return ImageSpec(mode=MODES[channels], **pictures.model_dump())
