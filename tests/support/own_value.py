"""A bundle whose score is an injective function of its input, so that any lost or swapped response is detected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.load import DETECTOR_FILE
from tests.support.bundles import replace_file
from tests.support.toy import toy_bundle

SHAPE = (2,)
"""Shape of a row, float32: its number, and the fault that it requests from a faulty runtime
(`tests/support/faulty.py`), which a real runtime ignores.
"""

LARGEST_NUMBER = 2**24
"""All whole numbers up to here are distinct float32 values."""


def own_value_bundle(folder: Path) -> Path:
    """A toy bundle (float32 rows of `SHAPE`) whose graph returns each row's first number as its score."""
    bundle = toy_bundle(folder, shape=SHAPE, dtype="float32", classes=2)
    nodes = [
        helper.make_node("Slice", ["input", "zero", "one", "one"], ["first"]),  # from 0 to 1, along axis 1
        helper.make_node("Squeeze", ["first", "one"], ["score"]),
        helper.make_node("Softmax", ["input"], ["probabilities"], axis=-1),
        helper.make_node("Identity", ["input"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "own_value",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", *SHAPE])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", *SHAPE]),
        ],
        [numpy_helper.from_array(np.array([value]), name) for name, value in (("zero", 0), ("one", 1))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    replace_file(bundle, DETECTOR_FILE, model.SerializeToString())
    return bundle


def row(number: int, asks: float = 0) -> npt.NDArray[np.float32]:
    """The row (1, *SHAPE) whose score is `number`."""
    assert 0 <= number <= LARGEST_NUMBER
    return np.array([[number, asks]], np.float32)
