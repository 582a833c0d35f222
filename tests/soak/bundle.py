"""The bundle of the soak's pictures, in two versions whose scores differ for every input.

The clients' processes do not import this module: it loads everything that builds bundles, 3 s of CPU time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.load import DETECTOR_FILE, REFERENCE_FILE
from harmgauge.bundle.reference import Reference
from tests.soak.numbers import NUMBERS
from tests.soak.pictures import CLASSES, FLAGGED_FROM, ROW_BYTES, SHAPE, pictures
from tests.support.bundles import edit, replace_file
from tests.support.toy import toy_bundle

REFERENCE_ROWS = 5000
FEATURES_ROWS = 500


def two_versions(folder: Path) -> tuple[Path, Path]:
    """Make both under `folder` and return their paths."""
    drawn = np.random.default_rng(0).integers(0, NUMBERS, REFERENCE_ROWS)
    features = pictures(drawn[:FEATURES_ROWS].tolist()).reshape(-1, ROW_BYTES).astype(np.float32)
    made = [toy_bundle(folder, shape=SHAPE, classes=CLASSES, rows=REFERENCE_ROWS, window_rows=1000) for _ in range(2)]
    for bundle, offset in zip(made, (0, -NUMBERS), strict=True):
        reference = Reference(np.sort(drawn + offset).astype(np.float64), features)
        replace_file(bundle, REFERENCE_FILE, reference.npz())
        replace_file(bundle, DETECTOR_FILE, _graph(offset))
        threshold = float(FLAGGED_FROM - 1 + offset)
        edit(bundle, lambda manifest, threshold=threshold: manifest["threshold"].update(value=threshold))  # type: ignore[misc]  # a lambda's default has no type
    return made[0], made[1]


def _graph(offset: int) -> bytes:
    """Every partial sum is a whole number of at most 24 bits, so the score is exact in any order of summation."""
    weights = np.zeros((ROW_BYTES, 1), np.float32)
    weights[:3, 0] = 1, 2**8, 2**16
    classes = np.eye(ROW_BYTES, dtype=np.float32)[:, 3 : 3 + CLASSES]
    nodes = [
        helper.make_node("Cast", ["input"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["features"], axis=1),
        helper.make_node("MatMul", ["features", "weights"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["number"]),
        helper.make_node("Add", ["number", "offset"], ["score"]),
        helper.make_node("MatMul", ["features", "classes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "own_value",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["n", *SHAPE])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CLASSES]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", ROW_BYTES]),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(classes, "classes"),
            numpy_helper.from_array(np.array([1]), "axis"),
            numpy_helper.from_array(np.array([offset], np.float32), "offset"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())
