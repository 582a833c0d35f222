"""The second networks that a classifier is compared with: one interface for every kind, and a registry of kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data.columns import Columns, Layout, find_columns
from harmgauge_models.data.disturber import ByKind
from harmgauge_models.data.disturbers import disturber_for
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.data.record_disturbers import RecordLayout, record_disturber, record_layout
from harmgauge_models.data.tokenizer import Tokenizer
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.divergence import Loss
from harmgauge_models.options import Options


@dataclass(frozen=True)
class Folds:
    """Second networks like another, but each trained without some disturbances, on which it is then judged.

    `families` are the disturbances that each of them lacks. `log_q` returns the logarithms of each one's probabilities,
    (n, classes), for rows (n, *shape); it runs the classifier once for all of them.
    """

    families: Sequence[tuple[str, ...]]
    log_q: Callable[[npt.NDArray[Any]], Sequence[npt.NDArray[np.float32]]]


@dataclass(frozen=True)
class SecondNetwork:
    """A second network, how it was made, and the mean loss of each training epoch (none if it was given).

    `detector` is its name in the bundle. `loss` and `temperature` define the score unless the options do; `score` holds
    additional parameters for the manifest. `finish` completes the fused graph, for example with additional outputs.
    `left_out`, if present, returns similar networks that have seen fewer disturbances, and trains them when first
    called. Without a `network`, `alone` returns a graph with only the classifier. The score receives the share
    `score_share` of P(wrong)'s adjustment (`calibration/adjusting.py`).
    """

    network: Classifier | None
    made: dict[str, Any]
    losses: list[float]
    detector: str
    loss: Loss = "kld"
    temperature: float = 1.0
    score: dict[str, Any] = field(default_factory=dict)
    finish: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda fused: fused
    left_out: Callable[[], Folds] | None = None
    alone: Callable[[], onnx.ModelProto] | None = None
    score_share: float = 0.0


@dataclass(frozen=True)
class Task:
    """The inputs for making a second network: the options, the classifier, and calibration rows `x` in its form, used
    only for checks.

    `spec` is the service's input; None for a classifier of named inputs. `scratch` is a folder that is deleted
    afterwards. `train` holds the rows of `--train`, in the classifier's form.
    """

    options: Options
    classifier: Classifier
    spec: InputSpec | None
    x: npt.NDArray[Any]
    scratch: Path
    train: Rows | None = None
    tokenizer: Tokenizer | None = None

    @property
    def missing(self) -> bool:
        """Whether the classifier accepts missing values."""
        return any(taken.missing for taken in self.classifier.inputs) if self.spec is None else self.spec.missing

    @cached_property
    def _normal(self) -> npt.NDArray[Any]:
        return self.x if self.train is None else self.train.x

    @cached_property
    def columns(self) -> Columns:
        """The layout and columns of the training rows or, if there are none, of the calibration rows."""
        return find_columns(self._normal)

    @property
    def layout(self) -> Layout | RecordLayout:
        """The structure of the rows."""
        if self.spec is None:
            return record_layout(self._normal, self.classifier.inputs)
        return self.columns.layout

    @cached_property
    def disturber(self) -> ByKind:
        """The disturber of such rows, for training and judging."""
        model, output = self.classifier.runnable, self.classifier.network.output
        if self.spec is None:
            return record_disturber(model, output, self._normal, self.classifier.inputs, self.tokenizer)
        return disturber_for(model, output, self.spec, self._normal, self.columns)


Make = Callable[[Task], SecondNetwork]
"""Trains or loads a second network; raises UserError."""

Check = Callable[[Options], None]
"""Raises UserError for invalid options, before any file is read."""


@dataclass(frozen=True)
class Kind:
    """A kind of second network."""

    make: Make
    check: Check


def refuse_set(options: Options, names: Sequence[str], why: str) -> None:
    """Raise UserError if one of these options differs from its default; `why` follows the option's name in the
    message.
    """
    for option in names:
        if getattr(options, option) != getattr(Options, option):
            name = option.replace("hidden_layers", "hidden_layer").replace("_", "-")
            raise UserError(f"--{name} is for {why}")


def _anything_goes(_: Options) -> None:
    pass


_KINDS: dict[str, Kind] = {}


def register(name: str, check: Check = _anything_goes) -> Callable[[Make], Make]:
    """Register the decorated function for `build --detector NAME`. Raises ValueError if the name is taken."""

    def add(make: Make) -> Make:
        if _KINDS.setdefault(name, Kind(make, check)).make is not make:
            raise ValueError(f"a detector {name!r} is already registered")
        return make

    return add


def find(options: Options) -> Kind:
    """The kind of second network that the options request, with its options checked. Raises UserError."""
    kind = _KINDS.get(options.detector)
    if kind is None:
        raise UserError(f"--detector {options.detector}: expected one of {', '.join(sorted(_KINDS))}")
    kind.check(options)
    return kind
