"""P(wrong) as one more output of a fused graph, old or new, in float32 or in 8 bits.

P(wrong) = sigmoid(slope x logit(q) + intercept), q being the second network's probability of the class that the
classifier names. The tensor that q comes from is found by the structure of the divergence, whatever its name.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import MIN_OPSET, opset_of

OUTPUT = "error_probability"
LOG_Q = f"{OUTPUT}/log_q"
"""ln q of each row, (n, 1), before it is clipped."""

LEAST_Q = 1e-6
"""q is clipped to this .. 1 - this."""

_TRANSPARENT = {"Cast", "Identity"}


def give(graph: bytes, slope: float, intercept: float) -> bytes:
    """The graph with the output `error_probability` (n,) float32; one that it had before is replaced.

    logit q = -ln(e^s - 1) with s = -ln q, and e^s - 1 = 2 e^(s / 2) sinh(s / 2): exact to float32's last digits where
    1 - q would keep few. Raises UserError if the graph has no second network whose probabilities can be found.
    """
    model = _with_log_q(graph)
    name = f"{OUTPUT}/"
    low, high = math.log(LEAST_Q), math.log1p(-LEAST_Q)
    constants = {
        "low": low,
        "high": high,
        "minus_half": -0.5,
        # -(h + ln sinh h) - ln 2 is the logit
        "slope": -slope,
        "intercept": intercept - slope * math.log(2),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.float32), name + key) for key, value in constants.items()
    )
    model.graph.initializer.append(helper.make_tensor(f"{name}last", TensorProto.INT64, [1], [1]))

    def node(operator: str, *inputs: str, output: str) -> onnx.NodeProto:
        return helper.make_node(operator, [name + key for key in inputs], [output], name=output)

    model.graph.node.extend(
        [
            node("Clip", "log_q", "low", "high", output=f"{name}clipped"),
            node("Mul", "clipped", "minus_half", output=f"{name}half"),
            node("Sinh", "half", output=f"{name}sinh"),
            node("Log", "sinh", output=f"{name}log_sinh"),
            node("Add", "half", "log_sinh", output=f"{name}minus_logit"),
            node("Mul", "minus_logit", "slope", output=f"{name}scaled"),
            node("Add", "scaled", "intercept", output=f"{name}shifted"),
            node("Sigmoid", "shifted", output=f"{name}column"),
            node("Squeeze", "column", "last", output=OUTPUT),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"]))
    return bytes(model.SerializeToString())


def give_log_q(graph: bytes) -> bytes:
    """The graph with the output LOG_Q (n, 1) float32, to fit by. Raises UserError as `give` does."""
    model = _with_log_q(graph)
    model.graph.output.append(helper.make_tensor_value_info(LOG_Q, TensorProto.FLOAT, ["n", 1]))
    return bytes(model.SerializeToString())


def _with_log_q(graph: bytes) -> onnx.ModelProto:
    """The graph with the tensor LOG_Q, and nothing of an earlier fit."""
    model: onnx.ModelProto = onnx.load_from_string(graph)
    _take_away(model.graph)
    if opset_of(model) < MIN_OPSET:
        raise UserError(
            f"the graph is of opset {opset_of(model)}, expected {MIN_OPSET} or later: build the bundle again"
        )
    logs, normalised = _log_second(model.graph)
    name = f"{OUTPUT}/"
    if not normalised:
        model.graph.node.append(helper.make_node("LogSoftmax", [logs], [f"{name}logs"], name=f"{name}logs", axis=-1))
        logs = f"{name}logs"
    named = f"{name}named"
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", ["probabilities"], [named], name=named, axis=1, keepdims=1),
            helper.make_node("GatherElements", [logs, named], [LOG_Q], name=LOG_Q, axis=1),
        ]
    )
    return model


def _log_second(graph: onnx.GraphProto) -> tuple[str, bool]:
    """The second network's log probabilities, and whether they are normalised.

    The score is -sum y ln y2 or sum y (ln y - ln y2): its terms have one factor that is made by an Exp, y, and one that
    has the only other clipped tensor. Raises UserError if it is neither.
    """
    maker = {output: node for node in graph.node for output in node.output}

    def made_by(tensor: str) -> onnx.NodeProto | None:
        node = maker.get(tensor)
        while node is not None and node.op_type in _TRANSPARENT:
            node = maker.get(node.input[0])
        return node

    found = made_by("score")
    if found is not None and found.op_type == "Neg":
        found = made_by(found.input[0])
    terms = made_by(found.input[0]) if found is not None and found.op_type == "ReduceSum" else None
    if terms is not None and terms.op_type == "Mul":
        factors = [made_by(name) for name in terms.input]
        others = [node for node in factors if node is not None and node.op_type != "Exp"]
        log = others[0] if len(others) == 1 and len(factors) == 2 else None
        if log is not None and log.op_type == "Sub":
            log = made_by(log.input[1])
        if log is not None and log.op_type == "Clip":
            before = made_by(log.input[0])
            if before is not None and before.op_type in ("LogSoftmax", "Log"):
                return log.input[0], before.op_type == "LogSoftmax"
    raise UserError(
        "the graph has no divergence from a second network, from whose probabilities P(wrong) could follow: expected "
        "-sum y ln y2 or sum y (ln y - ln y2), as harmgauge build writes it: build the bundle again"
    )


def _take_away(graph: onnx.GraphProto) -> None:
    """What `give` added before."""
    prefix = f"{OUTPUT}/"
    for kept, names in (
        (graph.node, lambda node: node.output),
        (graph.initializer, lambda tensor: [tensor.name]),
        (graph.output, lambda value: [value.name]),
    ):
        left = [part for part in kept if not any(name == OUTPUT or name.startswith(prefix) for name in names(part))]
        del kept[:]
        kept.extend(left)
