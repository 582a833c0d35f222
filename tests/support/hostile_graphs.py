"""Bundles with a valid manifest and a graph that harms the process that loads or runs it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from harmgauge.bundle.load import DETECTOR_FILE, REFERENCE_FILE
from harmgauge.bundle.npz import read_npz
from tests.support.bundles import edit, replace_file
from tests.support.toy import toy_bundle

FEATURES = 3
"""Values per row, float32."""


def base_bundle(folder: Path) -> Path:
    """A harmless bundle without features, whose rows have the same form as the others'."""
    bundle = toy_bundle(folder, shape=(FEATURES,), dtype="float32")
    scores = read_npz(bundle / REFERENCE_FILE)["scores"]
    stream = io.BytesIO()
    np.savez(stream, scores=scores)
    edit(bundle, lambda manifest: manifest.pop("features"))
    replace_file(bundle, REFERENCE_FILE, stream.getvalue())
    return bundle


def hostile_bundle(base: Path, folder: Path, name: str) -> Path:
    """A copy of `base` in `folder`, with the graph of this name."""
    shutil.copytree(base, folder)
    replace_file(folder, DETECTOR_FILE, HOSTILE[name]().SerializeToString())
    edit(folder, lambda manifest: manifest.update(version="2"))
    return folder


def graph(*nodes: NodeProto, **constants: npt.ArrayLike) -> onnx.ModelProto:
    """A detector whose score is the row's first value plus `extra`, which comes from the nodes or a constant."""
    given = {"extra": np.float32(0)} if not nodes else {}
    values = {"zero": np.int64(0), "one": np.int64(1), **given, **constants}
    own = [
        helper.make_node("Gather", ["input", "zero"], ["first"], axis=1),
        helper.make_node("Add", ["first", "extra"], ["score"]),
        helper.make_node("Softmax", ["input"], ["probabilities"], axis=1),
    ]
    made = helper.make_graph(
        [*nodes, *own],
        "hostile",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", FEATURES])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", FEATURES]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _greatest(of: str) -> tuple[NodeProto, NodeProto]:
    """`extra`, from a tensor that must be computed first."""
    return (
        helper.make_node("ReduceMax", [of], ["greatest"], keepdims=0),
        helper.make_node("Cast", ["greatest"], ["extra"], to=TensorProto.FLOAT),
    )


def _loop(turns: str) -> NodeProto:
    """As many iterations as the value of the tensor `turns`; endless if it is "". Requires `true` and `start`."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in ("v", "v_out")]
    going_on = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("c", "c_out")]
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Sin", ["v"], ["v_out"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), going_on[0], value[0]],
        [going_on[1], value[1]],
    )
    return helper.make_node("Loop", [turns, "true", "start"], ["extra"], body=body)


def _loop_by_rows() -> onnx.ModelProto:
    """Iterations: the fourth power of the number of rows, times a hundred."""
    return graph(
        helper.make_node("Shape", ["input"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        *(helper.make_node("Mul", [of, of], [to]) for of, to in (("n", "n2"), ("n2", "n4"))),
        helper.make_node("Mul", ["n4", "hundred"], ["turns"]),
        _loop("turns"),
        true=np.bool_(True),
        start=np.float32(0),
        hundred=np.int64(100),
    )


def _grows_with(*, rows: bool, numbers: int) -> onnx.ModelProto:
    """A range whose length is `numbers` times the number of rows, or its fourth power: no constant reveals it."""
    power = [helper.make_node("Mul", [of, of], [to]) for of, to in (("n", "n2"), ("n2", "n4"))] if rows else []
    return graph(
        helper.make_node("Shape", ["input"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        *power,
        helper.make_node("Mul", ["n4" if rows else "n", "numbers"], ["end"]),
        helper.make_node("Range", ["zero", "end", "one"], ["long"]),
        *_greatest("long"),
        numbers=np.int64(numbers),
    )


HOSTILE: dict[str, Callable[[], onnx.ModelProto]] = {
    "group 0": lambda: graph(
        helper.make_node("ConvTranspose", ["t", "w"], ["long"], group=0),
        *_greatest("long"),
        t=np.zeros((1, 1, 3, 3), np.float32),
        w=np.zeros((1, 1, 1, 1), np.float32),
    ),
    "least integer by -1": lambda: graph(
        helper.make_node("Cast", ["input"], ["numbers"], to=TensorProto.INT64),
        helper.make_node("Mul", ["numbers", "zero"], ["zeros"]),
        helper.make_node("Add", ["zeros", "least"], ["computed"]),
        helper.make_node("Sub", ["zeros", "one"], ["minus_ones"]),
        helper.make_node("Div", ["computed", "minus_ones"], ["long"]),
        *_greatest("long"),
        least=np.array([-(2**63)]),
    ),
    "endless loop": lambda: graph(_loop(""), true=np.bool_(True), start=np.float32(0)),
    "slow at many rows": _loop_by_rows,
    "much at one row": lambda: _grows_with(rows=False, numbers=30_000_000),
    "much at a row of zeros": lambda: graph(
        helper.make_node("Gather", ["input", "zero"], ["numbers_0"], axis=1),
        helper.make_node("ReduceMax", ["numbers_0"], ["greatest_0"], keepdims=0),
        helper.make_node("Cast", ["greatest_0"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Sub", ["one", "whole"], ["left"]),
        helper.make_node("Mul", ["left", "numbers"], ["end"]),
        helper.make_node("Add", ["end", "one"], ["some"]),
        helper.make_node("Range", ["zero", "some", "one"], ["long"]),
        *_greatest("long"),
        numbers=np.int64(30_000_000),
    ),
    "more than there is at one row": lambda: _grows_with(rows=False, numbers=10**10),
    "more than there is at 32 rows": lambda: _grows_with(rows=True, numbers=1000),
}
"""The graphs by their effect. None of the effects is visible in the sizes that the graph declares."""
