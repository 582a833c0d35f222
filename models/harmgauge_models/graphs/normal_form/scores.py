"""Interprets a classifier's output from its values for normal rows, and converts it to (n, classes) float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.divergence import Gives

LEAST_SIGMOID = 0.01
OUTSIDE = 1e-3
"""Largest distance of a probability outside 0..1 that rounding can cause."""

SUM_APART = 0.01
"""Largest deviation of a sum of probabilities from 1: half precision stays below it, 8 bits with ten classes reach
it.
"""

MOST_SUM_APART = 0.1
EXACT = 1e-4
"""Sums closer to 1 than this are not rescaled."""

LEVELS = 256
"""Number of levels of an 8-bit number."""

PREFIX = "harmgauge/"


@dataclass(frozen=True)
class Form:
    """The form of the output: `columns` as exported; `rescaled` if probabilities must be divided by their sum."""

    gives: Gives
    columns: int
    rescaled: bool = False

    @property
    def classes(self) -> int:
        return max(self.columns, 2)


def judge(scores: Array, given: Gives | None, what: str, role: str) -> Form:
    """The form of finite `scores` (n, ...), the output of `what`; `given` if the user set it. Raises UserError."""
    apart = [size for size in scores.shape[1:] if size != 1]
    if len(apart) > 1 or not scores.size:
        raise UserError(
            f"{what} is {scores.shape} for {len(scores)} rows; expected (n, classes): export scores of the whole "
            "input, not of its parts"
        )
    flat = scores.reshape(len(scores), -1).astype(np.float64)
    return _one_column(flat, given, what) if flat.shape[1] == 1 else _columns(flat, given, what, f"--{role}-gives")


def append(model: onnx.ModelProto, name: str, scores: Array, form: Form) -> str:
    """Make the graph output (n, classes) float32 in the form found by `judge`, in place; returns the new output's name.

    Uses operators that are the same in every opset from 7 on.
    """
    maker = _Maker(model, name)
    if scores.dtype != np.float32:
        maker.add("Cast", to=TensorProto.FLOAT)
    if scores.ndim != 2:
        maker.add("Flatten", axis=1)
    if form.columns == 1:
        _second_column(maker, form.gives)
    elif form.rescaled:
        positive = maker.add("Relu")
        ones = maker.constant("ones", np.ones((form.columns, 1)))
        total = maker.add("MatMul", ones)
        maker.now = positive
        maker.add("Div", total)
    outputs = [value for value in model.graph.output if value.name not in (name, maker.now)]
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(maker.now, TensorProto.FLOAT, ["n", form.classes]))
    model.graph.output.extend(outputs)
    return maker.now


def _second_column(maker: _Maker, gives: Gives) -> None:
    """Expand probabilities p to (1 - p, p), and logits z to (0, z), whose softmax is the sigmoid."""
    if gives == "probabilities":
        second = maker.add("Relu")
        ones = maker.constant("one", np.ones(1))
        maker.now = maker.plain("Sub", [ones, second])
        first = maker.add("Relu")
    else:
        second = maker.now
        first = maker.add("Mul", maker.constant("zero", np.zeros(1)))
    maker.now = maker.plain("Concat", [first, second], axis=1)


class _Maker:
    """Appends nodes to a graph, each on the output of the previous one (`now`)."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self._graph = model.graph
        self.now = name

    def add(self, operator: str, *others: str, **attributes: int) -> str:
        self.now = self.plain(operator, [self.now, *others], **attributes)
        return self.now

    def plain(self, operator: str, inputs: list[str], **attributes: int) -> str:
        output = f"{PREFIX}{len(self._graph.node)}/{operator}"
        node = helper.make_node(operator, inputs, [output], **cast("dict[str, Any]", attributes))
        self._graph.node.append(node)
        return output

    def constant(self, name: str, value: npt.NDArray[np.float64]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), PREFIX + name))
        return PREFIX + name


def _one_column(flat: npt.NDArray[np.float64], given: Gives | None, what: str) -> Form:
    bounded = flat.min() >= -OUTSIDE and flat.max() <= 1 + OUTSIDE
    if not bounded and np.array_equal(flat, np.rint(flat)):
        raise UserError(
            f"{what} has one column of whole numbers from {flat.min():g} to {flat.max():g}, which is only a label: "
            "export the class scores"
        )
    if given == "probabilities" and not bounded:
        raise UserError(
            f"{what} has one column from {flat.min():.3g} to {flat.max():.3g}; expected probabilities in 0..1: are "
            "they logits?"
        )
    return Form(given or ("probabilities" if bounded else "logits"), 1)


def _columns(flat: npt.NDArray[np.float64], given: Gives | None, what: str, option: str) -> Form:
    bounded = flat.min() >= -OUTSIDE and flat.max() <= 1 + OUTSIDE
    # Scores that are all close to 0 are not sigmoids, but logits without information.
    if given == "logits" or (given is None and (not bounded or flat.max() < LEAST_SIGMOID)):
        return Form("logits", flat.shape[1])
    if not bounded:
        raise UserError(
            f"{what} has values from {flat.min():.3g} to {flat.max():.3g}; expected probabilities in 0..1, as set by "
            f"{option}: leave it out, or set it to logits"
        )
    sums = np.maximum(flat, 0).sum(1)
    apart = float(np.abs(sums - 1).max())
    if given is None and apart > _sum_apart(flat):
        raise UserError(
            f"{what} lies in 0..1, but its rows sum to {sums.min():.3g} .. {sums.max():.3g}: a multi-label classifier, "
            "with a sigmoid for each label, has no single distribution over classes, which a divergence requires: "
            f"export one classifier for each label; if the classes exclude each other, set {option} to probabilities "
            "(each row is divided by its sum) or to logits"
        )
    if sums.min() <= 0:
        row = int(sums.argmin())
        raise UserError(f"{what} has a row of zeros (row {row}), which is not a distribution: export logits")
    return Form("probabilities", flat.shape[1], rescaled=bool(apart > EXACT or flat.min() < 0))


def _sum_apart(flat: npt.NDArray[np.float64]) -> float:
    """Largest deviation of a row's sum from 1: in 8 bits, half a step for each class."""
    levels = np.unique(np.round(flat, 7))
    if not 2 <= len(levels) <= LEVELS:
        return SUM_APART
    step = float(np.diff(levels).min())
    if not np.allclose(levels / step, np.rint(levels / step), atol=0.02):
        return SUM_APART
    return float(min(max(SUM_APART, step * flat.shape[1] / 2), MOST_SUM_APART))
