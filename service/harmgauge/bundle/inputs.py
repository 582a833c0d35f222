"""The graph's inputs as described in `bundle.json`, and the preparation of raw data for them.

This is the whole format. The part that this version serves is in `served_input.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from harmgauge.bundle.part import Dtype, Length, Part, Text, first_double

MAX_AXES = 8
MAX_COLUMNS = 10_000
MAX_CATEGORIES = 100_000
MAX_PIXELS = 16_384

MOST_ROWS = 10**15
"""Maximum for the rows that a bundle was calibrated on, copies included: JSON and metrics can represent it exactly."""

Channels = Annotated[tuple[float, ...], Field(min_length=1, max_length=4)]
"""A number for each channel."""

Filter = Literal["bilinear", "bicubic"]
"""How images are resized: antialiased, as in Pillow and torchvision."""


class Column(Part):
    """A column of a table."""

    name: Text
    kind: Literal["number", "category", "text", "time"]


class Input(Part):
    """One input of the graph: `shape` is that of a row, with null for an axis of any length up to `maximum`.

    `range` has the minimum and the maximum, both inclusive, null for none. Token ids are in 0 .. `vocabulary_size` - 1;
    `categories` are the strings that the classifier was trained on, and `unknown` decides about others: they pass (the
    default), the row is flagged whatever its score, or the request is refused. `pad_value` pads shorter rows; without
    it, only rows of equal length run together. With `missing`, NaN (or null) is a missing value; in strings, null
    becomes "". `columns` name the positions of the last axis.
    """

    name: Text
    dtype: Dtype | Literal["string"]
    shape: tuple[Length | None, ...] = Field(max_length=MAX_AXES)
    maximum: Length | None = None
    pad_value: float | None = None
    range: tuple[float | None, float | None] | None = None
    vocabulary_size: int | None = Field(default=None, ge=1, le=2**31)
    categories: tuple[Text, ...] | None = Field(default=None, min_length=1, max_length=MAX_CATEGORIES)
    unknown: Literal["pass", "flag", "refuse"] | None = None
    missing: bool = False
    columns: tuple[Column, ...] | None = Field(default=None, min_length=1, max_length=MAX_COLUMNS)

    @property
    def is_text(self) -> bool:
        return self.dtype == "string"

    @model_validator(mode="after")
    def _free_axis(self) -> Self:
        free = self.shape.count(None)
        if free > 1:
            raise ValueError(f"shape has {free} free axes; at most one may be null")
        if (self.maximum is not None) != (free == 1):
            raise ValueError("maximum and a free axis (null in shape) require each other")
        if self.pad_value is not None and not free:
            raise ValueError("pad_value pads a free axis, but shape has none")
        return self

    @model_validator(mode="after")
    def _values(self) -> Self:
        given = [name for name in ("range", "vocabulary_size", "categories") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: keep one")
        if self.range is not None:
            least, greatest = self.range
            if self.is_text or (least is not None and greatest is not None and least > greatest):
                raise ValueError("range must be [minimum, maximum] of a numeric input")
            self._check_bounds(bound for bound in self.range if bound is not None)
        if self.vocabulary_size is not None:
            if not self.dtype.startswith(("int", "uint")):
                raise ValueError("vocabulary_size is for inputs of whole numbers only")
            self._check_bounds([self.vocabulary_size - 1])
        if self.categories is not None and (not self.is_text or len(set(self.categories)) < len(self.categories)):
            raise ValueError("categories are for string inputs only, and must be distinct")
        if self.unknown is not None and self.categories is None:
            raise ValueError("unknown requires categories")
        if self.missing and not (self.is_text or self.dtype.startswith("float")):
            raise ValueError("missing requires a floating-point dtype or strings")
        return self

    def _check_bounds(self, bounds: Iterable[float]) -> None:
        """Raises ValueError for a bound that the dtype cannot represent."""
        kind = np.dtype(self.dtype)
        for bound in bounds:
            if kind.kind == "f":
                fits = abs(bound) <= float(np.finfo(kind).max)
            else:
                limits = np.iinfo(kind)
                fits = limits.min <= bound <= limits.max and bound == int(bound)
            if not fits:
                raise ValueError(f"{bound:g} is not a valid {self.dtype}")

    @model_validator(mode="after")
    def _columns(self) -> Self:
        if self.columns is not None:
            if not self.shape or self.shape[-1] != len(self.columns):
                raise ValueError(f"{len(self.columns)} columns do not match the size of the last axis")
            if (double := first_double(column.name for column in self.columns)) is not None:
                raise ValueError(f"two columns have the name {double!r}")
        return self


class Pictures(Part):
    """Converts an image (8 bits per channel) to a row: resize the shorter side to `resize` pixels with `filter` (by
    default bilinear), crop the middle `crop` pixels ((width, height), or one number for both), multiply by `scale`,
    subtract `mean`, divide by `std`, and order the axes as in `layout`.
    """

    layout: Literal["HWC", "CHW"]
    scale: float = Field(default=1.0, gt=0)
    resize: int | None = Field(default=None, ge=1, le=MAX_PIXELS)
    filter: Filter | None = None
    crop: int | tuple[int, int] | None = None
    mean: Channels | None = None
    std: Channels | None = None

    @property
    def crop_size(self) -> tuple[int, int] | None:
        """Width and height of the crop in pixels."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    @model_validator(mode="after")
    def _crop_and_std(self) -> Self:
        sides = self.crop_size or ()
        if not all(1 <= side <= MAX_PIXELS for side in sides):
            raise ValueError(f"crop must have sides of 1 to {MAX_PIXELS} pixels")
        if self.resize is not None and sides and self.resize < min(sides):
            raise ValueError(f"resize to {self.resize} pixels leaves no room for a crop of {sides[0]} x {sides[1]}")
        if self.filter is not None and self.resize is None:
            raise ValueError("filter requires resize")
        if self.std is not None and not all(value > 0 for value in self.std):
            raise ValueError("std must be above 0")
        return self


class Tokens(Part):
    """Converts text to token ids with the tokenizer in `tokenizer`, one of the bundle's files."""

    tokenizer: Text


class Preparation(Part):
    """Converts raw data to the graph's inputs: images or text."""

    pictures: Pictures | None = None
    text: Tokens | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.pictures is None) == (self.text is None):
            raise ValueError("preparation must have either pictures or text")
        return self


class ErrorProbability(Part):
    """P(wrong) of a row is 1 / (1 + exp(-(`slope` x logit + `intercept`))).

    The logit is that of the probability which the second network gives to the class that the classifier predicts. The
    fit used `rows` rows and `copies` disturbed copies of each. `slope` is negative: the more probable that class is to
    the second network, the less likely the prediction is wrong.

    `base` is the mean of P over the clean rows, and `base_upper` is base + 2.33 sd / sqrt(rows): the mean of clean
    traffic lies below it. `kappa` is the share of a drop in accuracy that the estimate misses. `target` is the event
    that P was fitted to: wrong predictions or, without labels, changed ones.
    """

    slope: float = Field(lt=0)
    intercept: float
    base: float = Field(ge=0, le=1)
    base_upper: float = Field(ge=0, le=1)
    kappa: float = Field(ge=0, le=100)
    rows: int = Field(ge=1, le=MOST_ROWS)
    copies: int = Field(ge=0, le=MOST_ROWS)
    target: Literal["wrong", "changed"]

    @model_validator(mode="after")
    def _bound(self) -> Self:
        if self.base_upper < self.base:
            raise ValueError("base_upper must be at least base")
        return self
