"""A few bytes that ask for terabytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

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
        with pytest.raises(GraphRefused, match=f"{operator} is told the shape"):
            check_graph(form.SerializeToString())
    harmless = np.ones_like(values[:6] if values.ndim else values)
    check_graph(told(operator, index, harmless, constant=constant).SerializeToString())


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("RandomNormal", [], ["y"], shape=[2**20, 2**20]), "told the shape"),
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[2**20, 2**20, 0, 0]), "told the pads"),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], output_shape=[2**20, 2**20]), "told the output_shape"),
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
    with pytest.raises(GraphRefused, match="ConstantOfShape is told the shape"):
        check_graph(made.SerializeToString())
