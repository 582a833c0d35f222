"""The divergence between two networks' outputs, and the entropy of one, in ONNX's text form.

The divergence is computed from log-probabilities: `y ** (1 / T)` underflows at small T and many classes, `log y / T`
does not.
"""

from __future__ import annotations

import math
from typing import Literal

Gives = Literal["logits", "probabilities"]

Loss = Literal["kld", "xent"]
"""The divergence: Kullback-Leibler, or cross-entropy."""

MIN_OPSET = 13
"""The first opset whose ReduceSum and Softmax have the meaning that the divergence needs."""


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
