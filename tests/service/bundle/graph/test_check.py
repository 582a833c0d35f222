"""Forbidden graphs, each made with ONNX's own tools, and that served graphs pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.graph import check
from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.graph.refused import GraphRefused
from tests.conftest import ROOT
from tests.support.graphs import FLOAT, INT64, inside, model, told
from tests.support.toy import linear_network

SHIPPED = sorted((ROOT / "models" / "bundles").glob("*/*/*.onnx"))
Change = Callable[[onnx.ModelProto], object]


def external(made: onnx.ModelProto, location: str) -> None:
    tensor = made.graph.initializer.add(name="w", data_type=FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)


def nested(depth: int) -> onnx.ModelProto:
    graph = model().graph
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    return helper.make_model(graph)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: "/".join(path.parts[-3:]))
def test_the_shipped_graphs_pass(path: Path) -> None:
    check_graph(path.read_bytes())


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64"])
def test_a_network_of_a_users_passes(tmp_path: Path, dtype: str) -> None:
    check_graph(linear_network(tmp_path / "network.onnx", (4, 4, 3), 3, 1, dtype=dtype, softmax=True).read_bytes())


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("data_type", range(1, 27))
def test_tensors_of_every_type_pass_as_onnx_writes_them(data_type: int, typed: bool) -> None:
    values = np.arange(7) % 2
    if data_type == TensorProto.STRING:
        tensor = helper.make_tensor("w", data_type, [7], [b""] * 7)  # type: ignore[list-item]  # it accepts them
    else:
        kind = helper.tensor_dtype_to_np_dtype(data_type)
        tensor = numpy_helper.from_array(values.astype(kind), "w")
        if typed and data_type <= TensorProto.UINT4:
            tensor = helper.make_tensor("w", data_type, [7], values.astype(kind))
    check_graph(model(initializers=[tensor]).SerializeToString())


@pytest.mark.parametrize(
    "location", ["weights.bin", "../weights.bin", "/etc/passwd", "*/_ORT_MEM_ADDR_/*", "", "file:///etc/passwd"]
)
def test_a_tensor_in_another_file_is_refused(location: str) -> None:
    made = model()
    external(made, location)
    with pytest.raises(GraphRefused, match=r"'w' is stored in another file.*save_as_external_data=False"):
        check_graph(made.SerializeToString())
    del made.graph.initializer[0].external_data[:]
    with pytest.raises(GraphRefused, match="'w' is stored in another file"):
        check_graph(made.SerializeToString())
    made.graph.initializer[0].ClearField("data_location")
    made.graph.initializer[0].external_data.add(key="location", value=location)
    with pytest.raises(GraphRefused, match="is stored in another file"):
        check_graph(inside(made).SerializeToString())


def test_a_constants_tensor_in_another_file_is_refused() -> None:
    made = model(helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.zeros(4, np.float32), "c")))
    made.graph.node[0].attribute[0].t.data_location = TensorProto.EXTERNAL
    with pytest.raises(GraphRefused, match="'c' is stored in another file"):
        check_graph(made.SerializeToString())


@pytest.mark.parametrize(
    ("operator", "domain"),
    [
        ("Evil", "my.domain"),
        ("Relu", "com.microsoft.extensions"),
        ("EPContext", "com.microsoft"),
        ("PythonOp", "com.microsoft"),
        ("Snpe", "com.microsoft"),
        ("ATen", "org.pytorch.aten"),
        ("Conv", "com.ms.internal.nhwc"),
        ("Relu", "ai.onnx\0"),
    ],
)
@pytest.mark.parametrize("where", [lambda made: made, inside], ids=["above", "inside"])
def test_a_custom_operator_is_refused(operator: str, domain: str, where: Callable[..., onnx.ModelProto]) -> None:
    made = where(model(helper.make_node(operator, ["x"], ["y"], domain=domain)))
    with pytest.raises(GraphRefused, match=f"custom operator, '{operator}' of the domain"):
        check_graph(made.SerializeToString())


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml"])
def test_operators_of_onnx_pass(domain: str) -> None:
    check_graph(model(helper.make_node("Scaler", ["x"], ["y"], domain=domain)).SerializeToString())
    check_graph(model(helper.make_node("QLinearAdd", ["x"], ["y"], domain="com.microsoft")).SerializeToString())


def add(**fields: object) -> Change:
    return lambda made: made.graph.initializer.add(name="w", **fields)


def declare(*dims: int) -> Change:
    return lambda made: made.graph.value_info.append(helper.make_tensor_value_info("v", FLOAT, dims))


def add_function(made: onnx.ModelProto) -> None:
    body = [helper.make_node("Relu", ["a"], ["b"])]
    made.functions.append(helper.make_function("d", "F", ["a"], ["b"], body, [helper.make_opsetid("", 18)]))


def add_types(made: onnx.ModelProto) -> None:
    kind = made.graph.value_info.add(name="v").type
    for _ in range(20):
        kind.sequence_type.elem_type.SetInParent()
        kind = kind.sequence_type.elem_type


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            add(data_type=FLOAT, dims=[2**30], raw_data=b"abcd"),
            "claims 1073741824 elements, which do not match its 4 bytes",
        ),
        (add(data_type=FLOAT, dims=[2], raw_data=b"abcd" * 3), "2 elements, which do not match its 12 bytes"),
        (add(data_type=FLOAT, dims=[2**30], float_data=[1.0]), "elements, which do not match its 4 bytes"),
        (add(data_type=INT64, dims=[100], int64_data=[1]), "100 elements, which do not match its 1 bytes"),
        (add(data_type=TensorProto.STRING, dims=[2**30], string_data=[b"a"]), "1073741824 elements"),
        (add(data_type=FLOAT, dims=[-1, 4]), r"the shape \[-1, 4\], which no tensor can have"),
        (add(data_type=FLOAT, dims=[2**62, 2**62]), "which no tensor can have"),
        (add(data_type=FLOAT, dims=[2**62, 0, 2**62]), "which no tensor can have"),
        (add(data_type=FLOAT, dims=[1] * 1000), "more than 16 axes"),
        (add(data_type=99, dims=[1], raw_data=b"a"), "the unknown data type 99"),
        (declare(2**20, 2**20), r"declares the shape \[1048576, 1048576\], more than"),
        (declare(-5), "which no tensor can have"),
        (declare(*[1] * 17), "more than 16 axes"),
        (add_types, "types nested more than 8 deep"),
        (add_function, "local functions.*inline_local_functions"),
        (lambda made: made.training_info.add(), "training_info"),
        (lambda made: made.ClearField("graph"), "the model has no graph"),
        (lambda made: made.graph.sparse_initializer.add(dims=[2**40]), "stores a sparse tensor"),
        (lambda made: made.graph.node[0].input.extend(["x"] * 20_000), "more than 10000 inputs"),
    ],
)
def test_what_cannot_be_or_is_too_much_is_refused(change: Change, message: str) -> None:
    made = model()
    change(made)
    with pytest.raises(GraphRefused, match=message):
        check_graph(made.SerializeToString())


def test_graphs_may_be_nested_eight_deep_and_no_deeper() -> None:
    check_graph(nested(check.MAX_DEPTH - 1).SerializeToString())
    with pytest.raises(GraphRefused, match="subgraphs nested more than 8 deep"):
        check_graph(nested(check.MAX_DEPTH).SerializeToString())
    deep = b""
    for _ in range(2000):  # deeper than Python's recursion limit
        deep = field(1, field(5, field(6, deep)))
    with pytest.raises(GraphRefused, match="subgraphs nested more than 8 deep"):
        check_graph(field(7, deep))


def varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_parts_that_protobuf_would_merge_are_refused() -> None:
    """Two halves of a tensor, each harmless: protobuf joins their dims."""
    half = TensorProto(data_type=FLOAT, dims=[2**20], float_data=[0.0] * 2**20).SerializeToString()
    attribute = field(1, b"value") + field(5, half) + field(5, half)
    node = field(4, b"Constant") + field(2, b"y") + field(5, attribute)
    with pytest.raises(GraphRefused, match="has the field t twice"):
        check_graph(field(7, field(1, node)))


def test_onnx_runtimes_own_format_is_refused() -> None:
    data = field(2, b"abORTM") + model().SerializeToString()
    assert onnx.load_from_string(data).producer_name == "abORTM"  # an ONNX model as well
    with pytest.raises(GraphRefused, match="ONNX Runtime's own format"):
        check_graph(data)


@cache
def seeds() -> list[bytes]:
    made = told("Expand", 1, np.array([3]), constant=True)
    external(made, "w")
    add_function(made)
    return [made.SerializeToString(), inside(model()).SerializeToString(), nested(3).SerializeToString()]


@settings(deadline=None)
@given(st.binary(max_size=2000))
@example(b"")
def test_any_bytes_are_judged(data: bytes) -> None:
    with pytest.raises(GraphRefused):
        check_graph(data)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2), st.randoms(use_true_random=False), st.integers(1, 4))
def test_of_what_passes_protobuf_sees_nothing_forbidden(which: int, chance: random.Random, changes: int) -> None:
    """Graphs with a few bytes changed, removed or inserted: the two parsers must not see different models."""
    data = bytearray(seeds()[which])
    for _ in range(changes):
        at = chance.randrange(len(data))
        data[at : at + chance.randrange(2)] = chance.randbytes(chance.randrange(3))
    try:
        check_graph(bytes(data))
    except GraphRefused:
        return
    try:
        seen = onnx.load_from_string(bytes(data))
    except DecodeError:  # texts that are not UTF-8
        return
    assert not seen.functions
    assert not forbidden(seen.graph)


def forbidden(graph: onnx.GraphProto) -> bool:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [*graph.initializer, *(attribute.t for attribute in attributes)]
    inner = [part for attribute in attributes for part in (attribute.g, *attribute.graphs) if part.node]
    return (
        any(tensor.external_data or tensor.data_location or any(dim < 0 for dim in tensor.dims) for tensor in tensors)
        or any(node.domain not in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft") for node in graph.node)
        or bool(graph.sparse_initializer)
        or any(forbidden(part) for part in inner)
    )
