"""Adds P(wrong) as an output to a fused graph, old or new, in float32 or in 8 bits.

P(wrong) = sigmoid(slope x logit(q) + intercept), where q is the second network's probability of the class that the
classifier predicts. If the graph has an adjustment (`adjustment.py`), it is added to the logit.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge_models.errors import UserError
from harmgauge_models.graphs.adjustment import ADJUSTMENT
from harmgauge_models.graphs.divergence import MIN_OPSET, find_divergence
from harmgauge_models.graphs.fuse import opset_of

OUTPUT = "error_probability"
LOGIT = f"{OUTPUT}/logit"
"""The logit of q of each row, adjusted if the graph has an adjustment, (n, 1)."""

LEAST_Q = 1e-6
"""q is clipped to [this, 1 - this]."""

MOST_LOGIT = math.log1p(-LEAST_Q) - math.log(LEAST_Q)

_OUT = -1e30
"""Added to the logarithm of the predicted class, to exclude it from the sum of the others."""

_AXES_ARE_AN_INPUT = 18
"""The first opset in which ReduceLogSumExp takes its axes as an input."""


def give(graph: bytes, slope: float, intercept: float) -> bytes:
    """Add the output `error_probability` (n,) float32 to the graph; an earlier one is replaced.

    Raises UserError if the graph has no second network whose probabilities can be found.
    """
    model = _with_logit(graph)
    name = f"{OUTPUT}/"
    model.graph.initializer.extend(
        [_number(f"{name}slope", slope), _number(f"{name}intercept", intercept), _axis(f"{name}last", 1)]
    )
    model.graph.node.extend(
        [
            _node("Mul", LOGIT, f"{name}slope", output=f"{name}scaled"),
            _node("Add", f"{name}scaled", f"{name}intercept", output=f"{name}shifted"),
            _node("Sigmoid", f"{name}shifted", output=f"{name}column"),
            _node("Squeeze", f"{name}column", f"{name}last", output=OUTPUT),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"]))
    return bytes(model.SerializeToString())


def give_logit(graph: bytes) -> bytes:
    """Add the output LOGIT (n, 1) float32 to the graph, for fitting. Raises the same errors as `give`."""
    model = _with_logit(graph)
    model.graph.output.append(helper.make_tensor_value_info(LOGIT, TensorProto.FLOAT, ["n", 1]))
    return bytes(model.SerializeToString())


def logit_q(logs: npt.NDArray[np.floating], named: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """The logits of q in NumPy, (n,), from log-probabilities (n, classes), which need not be normalised, and the
    predicted classes `named` (n,); NaN for rows with NaN.
    """
    wide, rows = logs.astype(np.float64), np.arange(len(logs))
    of_named = wide[rows, named]
    wide[rows, named] = -np.inf
    most = np.maximum(wide.max(1), _OUT)
    with np.errstate(divide="ignore"):
        others = most + np.log(np.exp(wide - most[:, None]).sum(1))
    return np.asarray(np.clip(of_named - np.maximum(others, _OUT), -MOST_LOGIT, MOST_LOGIT))


def _with_logit(graph: bytes) -> onnx.ModelProto:
    """The graph with the tensor LOGIT, without any earlier fit.

    The logit is ln q minus the logarithm of the sum of the other classes' probabilities: 1 - q in float32 would retain
    few digits if q is close to 1.
    """
    model: onnx.ModelProto = onnx.load_from_string(graph)
    _take_away(model.graph)
    if (opset := opset_of(model)) < MIN_OPSET:
        raise UserError(f"the graph has opset {opset}, expected {MIN_OPSET} or later: build the bundle again")
    logs, name = find_divergence(model.graph).log_second, f"{OUTPUT}/"
    model.graph.initializer.extend(
        [
            _number(f"{name}out", _OUT),
            _number(f"{name}low", -MOST_LOGIT),
            _number(f"{name}high", MOST_LOGIT),
        ]
    )
    total = _node("ReduceLogSumExp", f"{name}others", output=f"{name}log_others", keepdims=1)
    if opset >= _AXES_ARE_AN_INPUT:
        model.graph.initializer.append(_axis(f"{name}classes_axis", 1))
        total.input.append(f"{name}classes_axis")
    else:
        total.attribute.append(helper.make_attribute("axes", [1]))
    model.graph.node.extend(
        [
            _node("ArgMax", "probabilities", output=f"{name}named", axis=1, keepdims=1),
            _node("GatherElements", logs, f"{name}named", output=f"{name}log_q", axis=1),
            _node("Add", f"{name}log_q", f"{name}out", output=f"{name}none"),
            _node("ScatterElements", logs, f"{name}named", f"{name}none", output=f"{name}others", axis=1),
            total,
            _node("Sub", f"{name}log_q", f"{name}log_others", output=f"{name}log_odds"),
            _node("Clip", f"{name}log_odds", f"{name}low", f"{name}high", output=f"{name}clipped"),
        ]
    )
    adjusted = any(ADJUSTMENT in node.output for node in model.graph.node)
    added = ["Add", f"{name}clipped", ADJUSTMENT] if adjusted else ["Identity", f"{name}clipped"]
    model.graph.node.append(_node(*added, output=LOGIT))
    return model


def _take_away(graph: onnx.GraphProto) -> None:
    """Remove everything that `give` added earlier."""

    def added(name: str) -> bool:
        return name == OUTPUT or name.startswith(f"{OUTPUT}/")

    nodes = [node for node in graph.node if not added(node.output[0])]
    tensors = [tensor for tensor in graph.initializer if not added(tensor.name)]
    outputs = [value for value in graph.output if not added(value.name)]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    graph.output.extend(outputs)


def _node(operator: str, *inputs: str, output: str, **attributes: int) -> onnx.NodeProto:
    node = helper.make_node(operator, inputs, [output], name=output)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    return node


def _number(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, np.float32), name)


def _axis(name: str, value: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([value], np.int64), name)
