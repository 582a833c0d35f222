"""Converts tensors inside a graph to float32, from half precision or from 8 bits with a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.rows import Array

_OWN_SCALE = {
    "QLinearConv": 6, "QLinearMatMul": 6, "QLinearAdd": 6, "QLinearMul": 6, "QLinearConcat": 0, "QuantizeLinear": 1,
    "QLinearAveragePool": 3, "QLinearGlobalAveragePool": 3, "QLinearLeakyRelu": 3, "QLinearSigmoid": 3,
}  # fmt: skip
"""The index of the input that holds the output's scale; the zero point follows it."""

_KEEPING = {"MaxPool", "Relu", "Clip", "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"}
"""Operators whose output has the scale of their input."""


@dataclass(frozen=True)
class Scale:
    """The scale of an 8-bit tensor: a number q represents (q - zero_point) x scale."""

    scale: float
    zero_point: int

    def real(self, values: Array) -> npt.NDArray[np.float32]:
        return ((values.astype(np.float32) - self.zero_point) * np.float32(self.scale)).astype(np.float32)


def scales(model: onnx.ModelProto) -> dict[str, Scale]:
    """The scales of the 8-bit tensors whose scale is a single stored number."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            stored[node.output[0]] = node.attribute[0].t
    found: dict[str, Scale] = {}
    for node in model.graph.node:
        at = _OWN_SCALE.get(node.op_type)
        if at is not None and len(node.input) > at and node.input[at] in stored:
            scale = numpy_helper.to_array(stored[node.input[at]])
            given = node.input[at + 1] if len(node.input) > at + 1 else ""
            zero = numpy_helper.to_array(stored[given]) if given in stored else np.zeros(1, np.uint8)
            if scale.size == zero.size == 1:
                found[node.output[0]] = Scale(float(scale.item()), int(zero.item()))
        elif node.op_type in _KEEPING and node.input and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def as_real(values: Array, scale: Scale | None) -> npt.NDArray[np.float32]:
    """A tensor's values in float32."""
    return values.astype(np.float32, copy=False) if scale is None else scale.real(values)


def takes_raw(
    model: onnx.ModelProto, names: Sequence[str], dtypes: Sequence[str], known: Sequence[Scale | None]
) -> None:
    """Make float32 inputs of `model` accept tensors in these `dtypes`, in place."""
    inputs = {value.name: value for value in model.graph.input}
    first: list[onnx.NodeProto] = []
    for name, dtype, scale in zip(names, dtypes, known, strict=True):
        if dtype == "float32":
            continue
        inside = f"{name}/real"
        for node in model.graph.node:
            for index, taken in enumerate(node.input):
                if taken == name:
                    node.input[index] = inside
        element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        inputs[name].type.tensor_type.elem_type = element
        if scale is None:
            first.append(helper.make_node("Cast", [name], [inside], to=TensorProto.FLOAT))
            continue
        parts = (np.float32(scale.scale), np.array(scale.zero_point, dtype))
        model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(part), f"{name}/{role}")
            for part, role in zip(parts, ("scale", "zero_point"), strict=True)
        )
        first.append(helper.make_node("DequantizeLinear", [name, f"{name}/scale", f"{name}/zero_point"], [inside]))
    nodes = [*first, *model.graph.node]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
