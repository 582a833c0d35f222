"""The shapes that the check computes for constants are those of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.graph.sizes import Sizes
from harmgauge.bundle.graph.value import Value, elements_of


class Followed(Sizes):
    """Records the known value of each name."""

    def __init__(self, file_bytes: int) -> None:
        super().__init__(file_bytes)
        self.known: dict[bytes, Value | None] = {}

    def leave(self) -> None:
        self.known |= self._scopes[-1].values
        super().leave()


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.linspace(0.1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def ints(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, np.int64)


def one(number: float, dtype: str = "int64") -> np.ndarray[Any, Any]:
    return np.array(number, dtype)


NONE = None
"""An omitted input."""

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Add", [floats(7, 1), floats(1, 5)], {}),
    ("AffineGrid", [floats(2, 2, 3), ints(2, 3, 4, 5)], {}),
    ("ArgMax", [floats(3, 4)], {"axis": 1, "keepdims": 0}),
    ("AveragePool", [floats(1, 2, 6, 6)], {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}),
    ("BlackmanWindow", [one(9)], {}),
    ("CenterCropPad", [floats(3, 4), ints(2, 9)], {}),
    ("Col2Im", [floats(1, 8, 9), ints(4, 4), ints(2, 2)], {}),
    ("Concat", [floats(2, 3), floats(2, 4)], {"axis": 1}),
    ("ConstantOfShape", [ints(3, 0, 2)], {}),
    ("Conv", [floats(1, 2, 7, 7), floats(5, 2, 3, 3)], {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("Conv", [floats(1, 2, 9), floats(5, 2, 3)], {"dilations": [2]}),
    ("ConvTranspose", [floats(1, 2, 3, 3), floats(2, 4, 3, 3)], {"strides": [3, 2], "output_padding": [1, 1]}),
    ("ConvTranspose", [floats(1, 2, 3), floats(2, 4, 3)], {"output_shape": [8], "strides": [2]}),
    ("ConvTranspose", [floats(1, 2, 3), floats(2, 4, 3)], {"pads": [1, 1], "group": 2}),
    ("DFT", [floats(1, 8, 1), one(16), one(1)], {}),
    ("DFT", [floats(2, 8, 1)], {}),
    ("Einsum", [floats(3, 1), floats(1, 4)], {"equation": "ij,jk->ik"}),
    ("Expand", [floats(3, 1), ints(2, 1, 5)], {}),
    ("EyeLike", [floats(4, 6)], {}),
    ("Flatten", [floats(2, 3, 4)], {"axis": 2}),
    ("Gather", [floats(3, 4, 5), np.array([[0, 1], [2, 0]])], {"axis": 1}),
    ("GatherElements", [floats(3, 4), np.zeros((2, 4), np.int64)], {}),
    ("GatherND", [floats(3, 4, 5), np.zeros((6, 2), np.int64)], {}),
    ("Gemm", [floats(3, 4), floats(5, 4)], {"transB": 1}),
    ("Gemm", [floats(4, 3), floats(4, 5)], {"transA": 1}),
    ("GlobalAveragePool", [floats(2, 3, 4, 4)], {}),
    ("GridSample", [floats(1, 2, 4, 4), floats(1, 5, 6, 2)], {}),
    ("HammingWindow", [one(5)], {}),
    ("HannWindow", [one(7)], {}),
    ("LSTM", [floats(5, 2, 3), floats(1, 16, 3), floats(1, 16, 4)], {"hidden_size": 4}),
    ("MatMul", [floats(2, 1, 3, 4), floats(5, 4, 6)], {}),
    ("MatMul", [floats(4), floats(4, 6)], {}),
    ("MaxPool", [floats(1, 2, 6)], {"kernel_shape": [3], "strides": [2]}),
    ("MaxRoiPool", [floats(1, 2, 8, 8), floats(3, 5)], {"pooled_shape": [2, 3]}),
    ("MaxUnpool", [floats(1, 1, 2, 2), np.zeros((1, 1, 2, 2), np.int64)], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("MelWeightMatrix", [one(4), one(16), one(8000), one(0, "f4"), one(4000, "f4")], {}),
    ("Multinomial", [floats(2, 3)], {"sample_size": 11}),
    ("NonMaxSuppression", [floats(1, 6, 4), floats(1, 1, 6), one(3)], {}),
    ("NonZero", [floats(3, 4)], {}),
    ("OneHot", [ints(0, 1, 2), one(5), floats(2)], {}),
    ("OneHot", [ints(0, 1, 2), one(5), floats(2)], {"axis": 0}),
    ("Pad", [floats(2, 3), ints(0, 1, 2, 3)], {}),
    ("Pad", [floats(2, 3), ints(4, 0), NONE, ints(1)], {}),
    ("RandomNormal", [], {"shape": [3, 4]}),
    ("RandomUniform", [], {"shape": [5]}),
    ("Range", [one(3), one(20), one(4)], {}),
    ("Range", [one(1, "f4"), one(0, "f4"), one(-0.3, "f4")], {}),
    ("ReduceSum", [floats(2, 3, 4), ints(1)], {"keepdims": 0}),
    ("ReduceMean", [floats(2, 3, 4)], {"keepdims": 1}),
    ("Reshape", [floats(2, 3, 4), ints(0, -1)], {}),
    ("Resize", [floats(1, 1, 4, 4), NONE, np.array([1, 1, 2, 2.5], np.float32)], {}),
    ("Resize", [floats(1, 1, 4, 4), NONE, NONE, ints(1, 1, 3, 7)], {}),
    ("RoiAlign", [floats(1, 2, 8, 8), floats(3, 4), ints(0, 0, 0)], {"output_height": 4, "output_width": 5}),
    ("STFT", [floats(1, 16, 1), one(4), NONE, one(8)], {"onesided": 0}),
    ("Shape", [floats(2, 3)], {}),
    ("Size", [floats(2, 3)], {}),
    ("Slice", [floats(9, 8), ints(1, -3), ints(8, 2**60), ints(0, 1), ints(2, 1)], {}),
    ("Split", [floats(6, 2), ints(3, 3)], {"axis": 0}),
    ("Squeeze", [floats(1, 3, 1), ints(0)], {}),
    ("Tile", [floats(2, 3), ints(4, 5)], {}),
    ("TopK", [floats(3, 8), ints(2)], {}),
    ("Transpose", [floats(2, 3, 4)], {"perm": [2, 0, 1]}),
    ("Unsqueeze", [floats(2, 3), ints(0, 3)], {}),
    ("Where", [np.ones((4, 1), bool), floats(1, 3), floats(1, 1)], {}),
]

MORE_THAN_NEEDED = {"Col2Im", "DFT", "GlobalAveragePool", "LSTM", "NonMaxSuppression", "NonZero", "STFT", "TopK"}
"""Operators whose rule gives an upper bound of the outputs, or includes intermediate tensors."""


@pytest.mark.parametrize(("operator", "inputs", "attributes"), CASES, ids=[case[0] for case in CASES])
def test_a_shape_is_what_the_runtime_gives(operator: str, inputs: list[Any], attributes: dict[str, Any]) -> None:
    names = [f"i{index}" if given is not None else "" for index, given in enumerate(inputs)]
    outputs = ["y", "second"] if operator in ("Split", "TopK") else ["y"]
    made = helper.make_graph(
        [helper.make_node(operator, names, outputs, **attributes), helper.make_node("Identity", ["y"], ["out"])],
        "g",
        [],
        [helper.make_empty_tensor_value_info("out")],
        [numpy_helper.from_array(given, name) for given, name in zip(inputs, names, strict=True) if given is not None],
    )
    data = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    followed = Followed(len(data))
    check_graph(data, followed)
    (found,) = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(["out"], {})
    known = followed.known[b"y"]
    assert known is not None
    if operator in MORE_THAN_NEEDED:
        assert elements_of(found.shape) <= known.elements <= 4 * elements_of(found.shape) + 100
    else:
        assert known.shape == found.shape
    if known.numbers is not None:
        np.testing.assert_array_equal(known.numbers, found)
