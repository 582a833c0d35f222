"""`bundle.json`: the manifest of a bundle, each value with its bounds."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from harmgauge.bundle.inputs import ErrorProbability, Input, Preparation
from harmgauge.bundle.part import Name, Part, Text, first_double
from harmgauge.bundle.reference import MIN_REFERENCE_ROWS
from harmgauge.bundle.served_input import InputSpec, Served, served_inputs

MAX_FILE_BYTES = 2**31
"""Limit for an ONNX file."""

MAX_INPUTS = 1000
MAX_CONTEXTS = 1000

_FLOAT32_MAX = float(np.finfo(np.float32).max)

Precision = Literal["float32", "int8"]

Chance = ErrorProbability | Annotated[str, Field(min_length=1, max_length=1000)]
"""The parameters of P(wrong), or the reason why there are none."""


class ThresholdSpec(Part):
    """`value` is the `percentile` of the scores of `rows` rows of normal data; `source` names the data."""

    value: float = Field(gt=-_FLOAT32_MAX, lt=_FLOAT32_MAX)
    percentile: float = Field(gt=0, le=100)
    rows: int = Field(ge=MIN_REFERENCE_ROWS)
    source: str


class DriftSpec(Part):
    """Window and alarm of the KS monitor; the alarm is `p <= p_value_threshold`, that is `D >= statistic_threshold`."""

    window_rows: int = Field(ge=2, le=1_000_000)
    rows_between_false_alarms: int = Field(ge=1, le=10**15)
    p_value_threshold: float = Field(gt=0, lt=1)
    statistic_threshold: float = Field(gt=0, le=1)


class Int8Spec(Part):
    """The same graph in 8 bits, with its own threshold and reference.

    `measured` compares it with the float32 graph: speedup (one thread), rank_correlation of the scores and more.
    """

    threshold: ThresholdSpec
    calibration_rows: int = Field(ge=1)
    measured: dict[str, float]
    error_probability: Chance | None = None


class FeaturesSpec(Part):
    """The source of the graph's output `features`: the `tensor` of the classifier, with `width` numbers per
    instance.
    """

    tensor: str
    width: int = Field(ge=1, le=2**20)


class FileSpec(Part):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE_BYTES)


class Manifest(Part):
    """`bundle.json` in schema 2. `docs/reference/bundle-format.md` describes every field.

    `detector` names the method that produces the score, and `score` has its parameters: the service reports both, but
    does not use them.
    """

    schema_version: Literal[2]
    name: Name
    version: Name
    detector: Name
    score: dict[str, Any] = Field(max_length=100)
    inputs: tuple[Input, ...] = Field(min_length=1, max_length=MAX_INPUTS)
    preparation: Preparation | None = None
    class_names: tuple[str, ...] = Field(min_length=2, max_length=2**20)
    threshold: ThresholdSpec
    error_probability: Chance
    int8: Int8Spec | None = None
    features: FeaturesSpec | None = None
    drift: DriftSpec
    reference: dict[Text, Text] = Field(min_length=1, max_length=MAX_CONTEXTS)
    columns: Text | None = None
    made: dict[str, Any]
    quality: dict[str, Any]
    files: dict[str, FileSpec] = Field(max_length=1000)

    @model_validator(mode="after")
    def _names(self) -> Self:
        if (double := first_double(self.class_names)) is not None:
            places = [str(at) for at, name in enumerate(self.class_names) if name == double]
            raise ValueError(
                f"the classes {' and '.join(places[:2])} are both called {double[:64]!r}: give each its own name"
            )
        if (double := first_double(found.name for found in self.inputs)) is not None:
            raise ValueError(f"two inputs are called {double[:64]!r}")
        return self

    @property
    def reference_file(self) -> str:
        """The reference of a bundle that this version can serve."""
        return next(iter(self.reference.values()))

    @cached_property
    def served(self) -> Served:
        """The inputs of a bundle that this version can serve. Raises ValueError if its parts are inconsistent."""
        return served_inputs(self)

    @property
    def is_named(self) -> bool:
        """Whether rows have inputs by name, rather than being one array of numbers."""
        return not isinstance(self.served, InputSpec)

    @cached_property
    def input(self) -> InputSpec:
        """The input of a bundle with one array of numbers. Raises ValueError for any other."""
        if not isinstance(self.served, InputSpec):
            raise ValueError(f"the bundle's inputs are {', '.join(self.served.names)[:200]}, not one array of numbers")
        return self.served
