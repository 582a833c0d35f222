"""Makes a graph for one row accept any number: a Scan runs it on each row in turn.

This loses the speed of batching. Tensors inside the loop cannot be read from outside, so a head cannot use them, and
`feature_mmd` has no features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge_models.graphs.fuse import at_opset, opset_of
from harmgauge_models.graphs.normal_form.tidy import IR_VERSION, OPSET

ROWS = "harmgauge/rows"
SCORES = "harmgauge/scores"


def one_by_one(model: onnx.ModelProto, taken: str, given: str, shape: Sequence[int]) -> onnx.ModelProto:
    """`taken` names the input (1, *shape) of `model`, `given` its output for one row, of any shape with one number per
    class. The new model maps ROWS (n, *shape), of the same dtype, to SCORES (n, classes) float32.

    Raises UserError if it cannot be converted to opset 18; inside a loop, later conversion is impossible.
    """
    inner = at_opset(model, max(OPSET, opset_of(model)))
    element = next(value for value in inner.graph.input if value.name == taken).type.tensor_type.elem_type
    row, real, flat, axis, whole = (f"harmgauge/{name}" for name in ("row", "real", "flat", "axis", "whole"))
    body = helper.make_graph(
        [
            helper.make_node("Unsqueeze", [row, axis], [taken]),
            *inner.graph.node,
            helper.make_node("Cast", [given], [real], to=TensorProto.FLOAT),
            helper.make_node("Reshape", [real, whole], [flat]),
        ],
        "one_row",
        [helper.make_tensor_value_info(row, element, list(shape))],
        [helper.make_tensor_value_info(flat, TensorProto.FLOAT, [None])],
        [
            *inner.graph.initializer,
            numpy_helper.from_array(np.array([0], np.int64), axis),
            numpy_helper.from_array(np.array([-1], np.int64), whole),
        ],
    )
    scan = helper.make_node("Scan", [ROWS], [SCORES], body=body, num_scan_inputs=1)
    graph = helper.make_graph(
        [scan],
        "rows",
        [helper.make_tensor_value_info(ROWS, element, ["n", *shape])],
        [helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["n", None])],
    )
    ir_version = max(inner.ir_version, IR_VERSION)
    return helper.make_model(graph, opset_imports=list(inner.opset_import), ir_version=ir_version)
