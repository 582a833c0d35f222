"""A small convolutional classifier as other frameworks export it, created without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def convolutional_network(
    path: Path, side: int = 13, channels: int = 3, classes: int = 4, *, softmax: bool = False, layout: str = "HWC"
) -> Path:
    """uint8 images to class scores: two strided convolutions, the second with a shortcut, pooling, one matrix."""
    random = np.random.default_rng(0)
    shape = (side, side, channels) if layout == "HWC" else (channels, side, side)

    def weights(name: str, *size: int) -> onnx.TensorProto:
        values = random.normal(0, 1 / np.sqrt(np.prod(size[1:])), size).astype(np.float32)
        return numpy_helper.from_array(values, name)

    around: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["real", "white"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["picture"], perm=[0, 3, 1, 2])
        if layout == "HWC"
        else helper.make_node("Identity", ["unit"], ["picture"]),
        helper.make_node("Conv", ["picture", "w1"], ["c1"], strides=[1, 1], **around),
        helper.make_node("Relu", ["c1"], ["fine"]),
        helper.make_node("Conv", ["fine", "w2"], ["c2"], strides=[2, 2], **around),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "w3"], ["c3"], strides=[1, 1], **around),
        helper.make_node("Add", ["r2", "c3"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["coarse"]),
        helper.make_node("GlobalAveragePool", ["coarse"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w4"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"], axis=-1)
        if softmax
        else helper.make_node("Identity", ["scores"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "convolutional",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["rows", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", classes])],
        [
            numpy_helper.from_array(np.array(255, np.float32), "white"),
            weights("w1", 6, channels, 3, 3),
            weights("w2", 10, 6, 3, 3),
            weights("w3", 10, 10, 3, 3),
            numpy_helper.from_array(20 * random.normal(0, 1, (10, classes)).astype(np.float32), "w4"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))
    return path
