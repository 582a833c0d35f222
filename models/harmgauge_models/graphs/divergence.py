"""The divergence between two networks' outputs, and the entropy of one, in ONNX's text form; and the divergence of a
given graph, found by its structure, whatever the names of its tensors.

The divergence is computed from log-probabilities: `y ** (1 / T)` underflows at small T and many classes, `log y / T`
does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import onnx

from harmgauge_models.errors import UserError

Gives = Literal["logits", "probabilities"]

Loss = Literal["kld", "xent"]
"""The divergence: Kullback-Leibler, or cross-entropy."""

MIN_OPSET = 13
"""The first opset whose ReduceSum and Softmax have the meaning that the divergence needs."""

_TRANSPARENT = {"Cast", "Identity"}


def divergence_text(first: Gives, second: Gives, loss: Loss, temperature: float, opset: int) -> str:
    """The divergence in ONNX's text form.

    kld: sum y ln(y / y2), both clipped to [1e-7, 1]. xent: y2 / sum(y2) clipped to [1e-7, 1 - 1e-7], then
    -sum y ln y2. y is the first network's distribution at the temperature: y ** (1 / T), renormalised.
    """
    return f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        divergence (float[n, classes] first, float[n, classes] second)
            => (float[n] score, float[n, classes] probabilities)
        {{
            {_log_probabilities("first", first)}
            {_log_probabilities("second", second)}
            probabilities = {"Softmax <axis = -1>" if first == "logits" else "Identity"} (first_32)
            temperature = Constant <value_float = {temperature!r}> ()
            log_powers = Div (log_first, temperature)
            log_y = LogSoftmax <axis = -1> (log_powers)
            low = Constant <value_float = {math.log(1e-7)!r}> ()
            classes_axis = Constant <value_ints = [-1]> ()
            {_KLD if loss == "kld" else _XENT}
        }}"""


def entropy_text(first: Gives, opset: int) -> str:
    """-sum y ln y in ONNX's text form, y clipped to [1e-7, 1]."""
    return f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        entropy (float[n, classes] first) => (float[n] score, float[n, classes] probabilities)
        {{
            {_log_probabilities("first", first)}
            probabilities = {"Softmax <axis = -1>" if first == "logits" else "Identity"} (first_32)
            low = Constant <value_float = {math.log(1e-7)!r}> ()
            zero = Constant <value_float = 0.0> ()
            classes_axis = Constant <value_ints = [-1]> ()
            ln_y = Clip (log_first, low, zero)
            y = Exp (ln_y)
            terms = Mul (y, ln_y)
            negative = ReduceSum <keepdims = 0> (terms, classes_axis)
            score = Neg (negative)
        }}"""


def _log_probabilities(name: str, gives: Gives) -> str:
    cast = f"{name}_32 = Cast <to = 1> ({name})"
    if gives == "logits":
        return f"{cast}  log_{name} = LogSoftmax <axis = -1> ({name}_32)"
    # The log of 0 is -infinity at any temperature; the log of a small constant would become a substantial share.
    return f"""{cast}
            {name}_none = Constant <value_float = 0.0> ()
            {name}_positive = Max ({name}_32, {name}_none)
            log_{name} = Log ({name}_positive)"""


_KLD = """
            zero = Constant <value_float = 0.0> ()
            ln_y = Clip (log_y, low, zero)
            ln_y2 = Clip (log_second, low, zero)
            y = Exp (ln_y)
            ln_ratio = Sub (ln_y, ln_y2)
            terms = Mul (y, ln_ratio)
            score = ReduceSum <keepdims = 0> (terms, classes_axis)"""

_XENT = f"""
            high = Constant <value_float = {math.log1p(-1e-7)!r}> ()
            log_normalised = LogSoftmax <axis = -1> (log_second)
            ln_y2 = Clip (log_normalised, low, high)
            y = Exp (log_y)
            terms = Mul (y, ln_y2)
            total = ReduceSum <keepdims = 0> (terms, classes_axis)
            score = Neg (total)"""


@dataclass(frozen=True)
class Divergence:
    """`log_second` names the logarithms of the second network's probabilities, (n, classes), which need not be
    normalised; `clip` is the node that bounds them. `first` names the first network's distribution y, (n, classes).
    """

    log_second: str
    clip: onnx.NodeProto
    first: str


def find_divergence(graph: onnx.GraphProto) -> Divergence:
    """The divergence that makes `score`.

    The score is -sum y ln y2 or sum y (ln y - ln y2): one factor of its terms, y, is the output of an Exp; the other
    contains the clipped ln y2. Raises UserError if it is neither.
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
        of_first = [node for node in factors if node is not None and node.op_type == "Exp"]
        others = [node for node in factors if node is not None and node.op_type != "Exp"]
        log = others[0] if len(others) == len(of_first) == 1 else None
        if log is not None and log.op_type == "Sub":
            log = made_by(log.input[1])
        # In an entropy, the other factor is the logarithm of y itself
        if log is not None and log.op_type == "Clip" and log.output[0] != of_first[0].input[0]:
            before = made_by(log.input[0])
            if before is not None and before.op_type in ("LogSoftmax", "Log"):
                return Divergence(log.input[0], log, of_first[0].output[0])
    raise UserError(
        "the graph has no divergence from a second network, from which P(wrong) could be computed; expected "
        "-sum y ln y2 or sum y (ln y - ln y2), as harmgauge build writes it: build the bundle again"
    )
