"""Graphs in which a few bytes request terabytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.graph.refused import GraphRefused
from tests.support.graphs import FLOAT, INT64, inside, model, told


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(
    ("operator", "index", "values"),
    [
        ("ConstantOfShape", 0, np.array([2**20, 2**20])),
        ("ConstantOfShape", 0, np.array([2**62, 2**62, 2**62])),
        ("ConstantOfShape", 0, np.array([2**20, 2**20] + [1] * 98)),
        ("Expand", 1, np.array([2**40])),
        ("Tile", 1, np.array([2**15, 2**15])),
        ("OneHot", 1, np.array(2**40)),
        ("Range", 1, np.array(2**40)),
        ("Range", 1, np.array(1e30, np.float32)),
        ("Resize", 2, np.array([1, 1, 2e5, 2e5], np.float32)),
        ("Resize", 3, np.array([1, 1, 2**20, 2**20])),
        ("Pad", 1, np.array([0, 2**20, 0, 0, 0, 2**20])),
    ],
)
def test_a_shape_that_asks_for_too_much_is_refused(
    operator: str, index: int, values: npt.NDArray[Any], constant: bool
) -> None:
    made = told(operator, index, values, constant=constant)
    for form in (made, inside(made)):
        with pytest.raises(GraphRefused, match=f"{operator} is given the shape"):
            check_graph(form.SerializeToString())
    harmless = np.ones_like(values[:6] if values.ndim else values)
    check_graph(told(operator, index, harmless, constant=constant).SerializeToString())


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("RandomNormal", [], ["y"], shape=[2**20, 2**20]), "is given the shape"),
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[2**20, 2**20, 0, 0]), "is given the shape"),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], output_shape=[2**20, 2**20]), "is given the shape"),
        (helper.make_node("Constant", [], ["y"], sparse_value=helper.make_sparse_tensor(
            helper.make_tensor("v", FLOAT, [1], [1.0]), helper.make_tensor("i", INT64, [1], [0]), [2**40])), "sparse"),
    ],
)  # fmt: skip
def test_an_attribute_that_asks_for_too_much_is_refused(node: onnx.NodeProto, message: str) -> None:
    with pytest.raises(GraphRefused, match=message):
        check_graph(model(node).SerializeToString())


def test_a_shape_written_as_ints_counts() -> None:
    constant = helper.make_node("Constant", [], ["told"], value_ints=[2**20, 2**20])
    made = model(constant, helper.make_node("ConstantOfShape", ["told"], ["y"]))
    with pytest.raises(GraphRefused, match="ConstantOfShape is given the shape"):
        check_graph(made.SerializeToString())


def init(name: str, values: Any, dtype: str = "int64") -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def node(operator: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, ["y"], **attributes)


@pytest.mark.parametrize(
    ("nodes", "tensors"),
    [
        ([node("Range", "a", "b", "c")], [init("a", 0, "f8"), init("b", 1e10, "f8"), init("c", 1, "f8")]),
        ([node("Range", "a", "b", "c")], [init("a", 0, "f4"), init("b", 1, "f4"), init("c", 1e-10, "f4")]),
        ([node("Tile", "a", "b")], [init("a", np.zeros(4096)), init("b", [2**28])]),
        ([node("Pad", "a", "b")], [init("a", np.zeros((64, 1))), init("b", [0, 0, 0, 2**27])]),
        ([node("Pad", "a", pads=[0, 0, 0, 2**27])], [init("a", np.zeros((64, 1)))]),
        ([node("Upsample", "a", scales=[1.0, 1e10])], [init("a", [[1.0]], "f4")]),
        ([node("MelWeightMatrix", "a", "b")], [init("a", 2**30), init("b", 2**21)]),
        ([node("ConvTranspose", "a", "b", strides=[2**28])], [init("a", np.zeros((1, 1, 3))), init("b", [[[1.0]]])]),
        ([node("Multinomial", "a", sample_size=2**31 - 1)], [init("a", np.zeros((4, 2)), "f4")]),
        ([node("TfIdfVectorizer", "x", ngram_indexes=[0, 2**40])], []),
        ([node("TreeEnsembleRegressor", "x", domain="ai.onnx.ml", n_targets=2**40)], []),
        ([node("Add", "a", "b")], [init("a", np.zeros((2**15, 1))), init("b", np.zeros((1, 2**15)))]),
        ([node("MatMul", "a", "b")], [init("a", np.zeros((2**15, 1))), init("b", np.zeros((1, 2**15)))]),
        ([node("Concat", *["a"] * 9000, axis=0)], [init("a", np.zeros(2**16))]),
        ([helper.make_node("Mul", ["a", "a"], ["b"]), node("ConstantOfShape", "b")], [init("a", [2**20])]),
    ],
)  # fmt: skip
def test_constants_that_grow_out_of_constants_are_refused(
    nodes: list[onnx.NodeProto], tensors: list[TensorProto]
) -> None:
    with pytest.raises(GraphRefused, match="more than 268435456 elements"):
        check_graph(model(*nodes, initializers=tensors).SerializeToString())


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float16", "float64"]
)
def test_a_size_of_any_type_counts(dtype: str) -> None:
    size = min(100, np.array(100).astype(dtype).item())
    many = [helper.make_node("Cast", ["a"], ["b"], to=INT64), node("ConstantOfShape", "b")]
    with pytest.raises(GraphRefused, match=r"ConstantOfShape is given the shape \[100, 100, 100, 100, 100\]"):
        check_graph(model(*many, initializers=[init("a", [size] * 5, dtype)]).SerializeToString())


def test_what_is_grown_is_summed_up() -> None:
    def made(count: int) -> bytes:
        nodes = [helper.make_node("ConstantOfShape", ["s"], [f"c{index}"]) for index in range(count)]
        return bytes(model(*nodes, initializers=[init("s", [2**24])]).SerializeToString())

    check_graph(made(4))
    with pytest.raises(GraphRefused, match="computes from constants alone need more than 256 MiB"):
        check_graph(made(5))


@pytest.mark.parametrize(
    ("nodes", "tensors", "message"),
    [
        ([node("Conv", "x", "w", group=0)], [], "has group"),
        ([node("MaxPool", "x", strides=[-1, 1])], [], "has strides"),
        ([node("Div", "x", "b")], [init("b", [2, 0])], "divides whole numbers by a constant 0"),
        ([node("Mod", "a", "b")], [init("a", [-(2**31)], "i4"), init("b", [-1], "i4")], "by -1"),
        ([node("Relu", "x"), node("Relu", "x")], [], "uses the name 'y' twice"),
        ([node("Relu", "x")], [init("b", 1), init("b", 1)], "the name 'b' to two stored tensors"),
        ([node("Relu", "b"), helper.make_node("Relu", ["x"], ["b"])], [], "uses 'b' before another produces it"),
    ],
)
def test_what_ends_or_confuses_onnx_runtime_is_refused(
    nodes: list[onnx.NodeProto], tensors: list[TensorProto], message: str
) -> None:
    with pytest.raises(GraphRefused, match=message):
        check_graph(model(*nodes, initializers=tensors).SerializeToString())


def test_sizes_as_exporters_compute_them_pass() -> None:
    """A mask over positions, as in exported transformers."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["n"]),
        helper.make_node("Range", ["zero", "n", "one"], ["positions"]),
        helper.make_node("ConstantOfShape", ["square"], ["ones"]),
        helper.make_node("Trilu", ["ones"], ["mask"], upper=0),
        helper.make_node("Unsqueeze", ["positions", "axis"], ["row"]),
        node("Where", "mask", "row", "x"),
    ]
    tensors = [init("zero", 0), init("one", 1), init("axis", [0]), init("square", [1024, 1024])]
    check_graph(model(*nodes, initializers=tensors).SerializeToString())
