"""Models of one or two nodes, made with ONNX's own tools."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def model(*nodes: onnx.NodeProto, initializers: list[TensorProto] | None = None) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", FLOAT, ["n", 4])
    graph = helper.make_graph(list(nodes) or [helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y], initializers)
    return helper.make_model(graph)


def told(operator: str, index: int, values: npt.NDArray[Any], *, constant: bool) -> onnx.ModelProto:
    """An operator that takes a shape from its input `index`, which is an initializer or the output of a Constant."""
    tensor = numpy_helper.from_array(values, "told")
    node = helper.make_node(operator, [*["x"] * index, "told"], ["y"])
    if constant:
        return model(helper.make_node("Constant", [], ["told"], value=tensor), node)
    return model(node, initializers=[tensor])


def inside(made: onnx.ModelProto) -> onnx.ModelProto:
    """The same nodes in the body of a Loop within a branch of an If."""
    loop = helper.make_node("Loop", ["", ""], ["y"], body=made.graph)
    branch = helper.make_graph([loop], "g", [], [])
    return model(helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch))
