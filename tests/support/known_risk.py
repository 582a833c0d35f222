"""Synthetic data with known risks: rows that contain their own truth, a classifier that errs accordingly, and a second
network that outputs the probability that the classifier is right.

A row is [the classifier's logits (3), the second network's logits (3), its true class]; no network reads the last.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.rows import Array
from harmgauge_models.data.disturber import Tags
from harmgauge_models.graphs.fuse import Network, fuse

CLASSES = 3
WIDTH = 2 * CLASSES + 1

Sight = Literal["all", "half", "none"]
"""How much of a disturbance the second network sees."""


def graph() -> bytes:
    """A graph with both networks and the divergence."""
    return bytes(fuse(_slice(0), _slice(CLASSES), "xent", 0.1).SerializeToString())


def _slice(first: int) -> Network:
    tensors = [
        numpy_helper.from_array(np.array([value], np.int64), name)
        for name, value in (("begin", first), ("end", first + CLASSES), ("axis", 1))
    ]
    made = helper.make_graph(
        [helper.make_node("Slice", ["x", "begin", "end", "axis"], ["y"])],
        "slice",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        tensors,
    )
    return Network(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), ("x",), "y", "logits"
    )


def rows(y: npt.NDArray[np.int64], risk: Array, seen_risk: Array, random: np.random.Generator) -> Array:
    """Rows of the classes `y` (n,), which the classifier gets wrong with probability `risk` (n,); the second network
    reports the probability `seen_risk` (n,).
    """
    named = np.where(random.random(len(y)) < risk, (y + 1) % CLASSES, y)
    every = np.arange(len(y))
    x = np.zeros((len(y), WIDTH), np.float32)
    # Calibrated confidence: the other classes share the rest.
    x[every, named] = np.log(2 * (1 - risk) / risk)
    x[every, CLASSES + named] = np.log(2 * (1 - seen_risk) / seen_risk)
    x[:, -1] = y
    return x


def clean(count: int, seed: int = 0) -> tuple[Array, npt.NDArray[np.int64]]:
    """Rows with a risk of .01 to .2, and their classes."""
    random = np.random.default_rng(seed)
    y = random.integers(CLASSES, size=count)
    risk = random.uniform(0.01, 0.2, count)
    return rows(y, risk, risk, random), y


class Risks:
    """Disturbs rows, which raises their risk to at most .6; `sight` is how much of each kind the
    second network sees.
    """

    def __init__(self, **sight: Sight) -> None:
        self._sight = sight
        self.families: tuple[str, ...] = tuple(sight)
        self.kinds: tuple[str, ...] = self.families
        self.clean_weight = 1.0

    def __call__(
        self, x: Array, random: np.random.Generator, names: Collection[str] | None = None
    ) -> tuple[Array, Tags]:
        chosen = [index for index, name in enumerate(self.families) if names is None or name in names]
        tags = np.full((len(x), 2), -1, np.int8)
        tags[:, 0] = random.choice(chosen, len(x))
        made = x.copy()
        for index in chosen:
            some = tags[:, 0] == index
            made[some] = self._changed(x[some], random, self.families[index], random.random(int(some.sum())))
        return made, tags

    def alone(self, x: Array, random: np.random.Generator, kind: str, strength: float) -> Array:
        return self._changed(x, random, kind, np.full(len(x), strength))

    def _changed(self, x: Array, random: np.random.Generator, kind: str, strength: Array) -> Array:
        usual = random.uniform(0.01, 0.2, len(x))
        added = strength * (0.6 - usual)
        seen = {"all": 1.0, "half": 0.5, "none": 0.0}[self._sight[kind]]
        return rows(x[:, -1].astype(np.int64), usual + added, usual + seen * added, random)
