"""A kind of second network in one file, registered by its decorator, with the same output for every input."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge_models import SecondNetwork, register
from harmgauge_models.detectors import Task
from harmgauge_models.graphs.classifier import open_classifier

NAME = "indifferent"


@register(NAME)
def make(task: Task) -> SecondNetwork:
    """Make a second network for which all classes are equally likely, whatever the input."""
    classifier, path = task.classifier, task.scratch / "indifferent.onnx"
    element = helper.np_dtype_to_tensor_dtype(np.dtype(classifier.dtype))
    nodes = [
        helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"]),
        helper.make_node("MatMul", ["flat", "zeros"], ["y"]),
    ]
    zeros = np.zeros((int(np.prod(classifier.shape)), classifier.classes), np.float32)
    graph = helper.make_graph(
        nodes,
        "indifferent",
        [helper.make_tensor_value_info("x", element, ["n", *classifier.shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classifier.classes])],
        [numpy_helper.from_array(zeros, "zeros")],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    network = open_classifier(path, task.x, "indifferent network", gives="logits")
    return SecondNetwork(network, {"indifferent": True}, [], NAME, score={"prior": "uniform"})
