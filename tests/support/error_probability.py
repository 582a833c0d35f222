"""Adds the output `error_probability` to the graphs of a bundle that was built without it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.load import DETECTOR_FILE, DETECTOR_INT8_FILE, load
from harmgauge.bundle.rows import Array
from tests.support.bundles import edit, replace_file

Float64 = npt.NDArray[np.float64]

OUTPUT = "error_probability"


def add_error_probability(folder: Path, rows: Array, *, slope: float = -1.0, base: float = 0.1) -> None:
    """Add P(wrong) to every graph of the bundle in `folder`, and to its manifest.

    `rows` represent clean calibration rows: the intercept makes their mean P equal `base`. The graphs must be fused
    from two networks, or from a classifier and an autoencoder.
    """
    for file, precision in ((DETECTOR_FILE, "float32"), (DETECTOR_INT8_FILE, "int8")):
        if (folder / file).exists():
            model = onnx.load(str(folder / file))
            intercept = _intercept(_chances(_with_output(model, slope, 0.0), rows), base)
            new = _with_output(model, slope, intercept)
            replace_file(folder, file, new.SerializeToString())
            described = _described(_chances(new, rows), slope, intercept)
            edit(folder, partial(_describe, precision=precision, described=described))
    load(folder)


def _describe(manifest: dict[str, Any], *, precision: str, described: dict[str, Any]) -> None:
    (manifest if precision == "float32" else manifest["int8"])[OUTPUT] = described


def _chances(model: onnx.ModelProto, rows: Array) -> Float64:
    session = ort.InferenceSession(model.SerializeToString())
    (found,) = session.run([OUTPUT], {session.get_inputs()[0].name: rows})
    return np.asarray(found, np.float64)


def _intercept(chances: Float64, base: float) -> float:
    """The shift of the logits of `chances` (n,) that gives them the mean `base`, by bisection."""
    clipped = np.clip(chances, 1e-7, 1 - 1e-7)
    logits = np.log(clipped) - np.log1p(-clipped)
    least, most = -30.0, 30.0
    for _ in range(60):
        middle = (least + most) / 2
        if (1 / (1 + np.exp(-logits - middle))).mean() < base:
            least = middle
        else:
            most = middle
    return least


def _described(chances: Float64, slope: float, intercept: float) -> dict[str, Any]:
    base = float(chances.mean())
    return {
        "slope": slope,
        "intercept": intercept,
        "base": base,
        "base_upper": min(1.0, base + 2.33 * float(chances.std()) / np.sqrt(len(chances))),
        "kappa": 0.1,
        "rows": len(chances),
        "copies": 3,
        "target": "wrong",
    }


def _with_output(built: onnx.ModelProto, slope: float, intercept: float) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(built)
    nodes = [
        helper.make_node("ArgMax", ["probabilities"], ["named"], axis=-1, keepdims=1),
        helper.make_node("GatherElements", ["log_second", "named"], ["log_of_named"], axis=-1),
        helper.make_node("Exp", ["log_of_named"], ["q_unclipped"]),
        helper.make_node("Clip", ["q_unclipped", "least_q", "most_q"], ["q"]),
        helper.make_node("Sub", ["one_p", "q"], ["rest_p"]),
        helper.make_node("Div", ["q", "rest_p"], ["odds_p"]),
        helper.make_node("Log", ["odds_p"], ["logit_p"]),
        helper.make_node("Mul", ["logit_p", "slope_p"], ["sloped_p"]),
        helper.make_node("Add", ["sloped_p", "intercept_p"], ["moved_p"]),
        helper.make_node("Sigmoid", ["moved_p"], ["column_p"]),
        helper.make_node("Squeeze", ["column_p", "last_axis_p"], [OUTPUT]),
    ]
    numbers = {"least_q": 1e-6, "most_q": 1 - 1e-6, "one_p": 1, "slope_p": slope, "intercept_p": intercept}
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in numbers.items()]
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "last_axis_p"))
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    model.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"]))
    return model
