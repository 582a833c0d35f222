"""ONNX models, compared with protobuf's own reading: both must see the same graph in a model that passes the check."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.graph.refused import GraphRefused
from harmgauge.bundle.graph.sizes import Sizes
from harmgauge.bundle.graph.tensor import Tensor
from harmgauge.bundle.graph.value import SMALL_ELEMENTS, Attribute, Node
from tests.fuzz.mutate import bytewise
from tests.fuzz.target import LONGEST_DETAIL, Target

_NUMBER_TYPES = {1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16, 21, 22}
_SIZES = [0, 1, -1, 2, 3, 64, 65, 2**14, 2**28, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63)]
_NAMES = ["", "x", "y", "a", "told", "value", "scales", "pads", "shape", "ints", "\0", "x" * 300]
_bytewise = bytewise(
    [b"\x3a\0", b"\x0a\0", b"\x2a\0", b"\x08\1", b"\x10\7", b"\xff" * 9 + b"\1", b"\xff" * 10, b"\x80\0", b"\xff\xff\3",
     b"\x0b", b"\x0c", b"\x8a\x80\x80\x80\x80\0\0", b"\xa0\1\7", b"\x70\1", b"\x4a\0", b"\x40\1"]
)  # fmt: skip


class _Recorder:
    """The real check, which also records the events that it receives."""

    def __init__(self, file_bytes: int) -> None:
        self.seen: list[Any] = []
        self._sizes = Sizes(file_bytes)

    def enter(self) -> None:
        self.seen.append("enter")
        self._sizes.enter()

    def leave(self) -> None:
        self.seen.append("leave")
        self._sizes.leave()

    def input(self, name: bytes) -> None:
        self.seen.append(("input", name.decode()))
        self._sizes.input(name)

    def declared(self, name: bytes, dims: Sequence[int]) -> None:
        self.seen.append(("declared", name.decode(), list(dims)))
        self._sizes.declared(name, dims)

    def tensor(self, tensor: Tensor) -> None:
        held = None if tensor.value.numbers is None else _shown(tensor.value.numbers)
        self.seen.append(("tensor", tensor.name.decode(), tensor.data_type, list(tensor.dims), held))
        self._sizes.tensor(tensor)

    def node(self, node: Node) -> None:
        texts = [[name.decode() for name in names] for names in (node.inputs, node.outputs)]
        attributes = {name.decode(): _ours(attribute) for name, attribute in node.attributes.items()}
        self.seen.append(("node", node.operator.decode(), node.domain.decode(), *texts, attributes))
        self._sizes.node(node)


def _shown(numbers: Any) -> Any:
    """Numbers as texts, so that nan equals itself and -0.0 differs from 0.0."""
    return [numbers.shape, [repr(number) for number in np.asarray(numbers).reshape(-1).tolist()]]


def _ours(attribute: Attribute) -> Any:
    if attribute.tensor is not None and attribute.kind == "t":
        numbers = attribute.tensor.numbers
        return "t", list(attribute.tensor.shape), None if numbers is None else _shown(numbers)
    # For an empty list, protobuf keeps nothing.
    is_nothing = attribute.kind in ("ints", "floats") and not attribute.count
    return (
        "" if is_nothing else attribute.kind,
        attribute.count,
        [repr(number) for number in attribute.numbers[:SMALL_ELEMENTS]],
        attribute.text,
    )


def _theirs(attribute: onnx.AttributeProto) -> Any:
    beside = ("name", "type", "doc_string", "ref_attr_name")
    kind = next((field.name for field, _ in attribute.ListFields() if field.name not in beside), "")
    value: Any = getattr(attribute, kind) if kind else None
    if kind == "t":
        return "t", list(attribute.t.dims), _held(attribute.t)
    numbers = list(value) if kind in ("ints", "floats") else [value] if kind in ("i", "f") else []
    count = len(attribute.strings) if kind == "strings" else len(numbers)
    return kind, count, [repr(number) for number in numbers[:SMALL_ELEMENTS]], attribute.s


def _held(tensor: TensorProto) -> Any:
    """The numbers of a small tensor; None if our reader reads none."""
    if int(np.prod(tensor.dims)) > SMALL_ELEMENTS or tensor.data_type not in _NUMBER_TYPES:
        return None
    if tensor.data_type == TensorProto.BOOL and not tensor.HasField("raw_data"):
        # onnx reads only the lowest byte
        values = [bool(number) for number in tensor.int32_data]
        return _shown(np.array(values).reshape(tensor.dims)) if len(values) == np.prod(tensor.dims) else "odd"
    try:
        return _shown(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, struct.error):
        return "odd"


def _expected(graph: onnx.GraphProto) -> list[Any]:
    """The events that the check should receive, from protobuf's reading; without shapes, whose order is only in the
    bytes.
    """
    seen: list[Any] = ["enter"]
    seen += [("input", value.name) for value in graph.input]
    for tensor in graph.initializer:
        seen.append(("tensor", tensor.name, tensor.data_type, list(tensor.dims), _held(tensor)))
    for node in graph.node:
        for attribute in node.attribute:
            for part in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                seen += _expected(part)
        attributes = {attribute.name: _theirs(attribute) for attribute in node.attribute}
        seen.append(("node", node.op_type, node.domain, list(node.input), list(node.output), attributes))
    return [*seen, "leave"]


def _shapes(graph: onnx.GraphProto) -> list[Any]:
    found = []
    for value in [*graph.input, *graph.output, *graph.value_info]:
        found += [("declared", value.name, dims) for dims in _dims(value.type)]
    for node in graph.node:
        for attribute in node.attribute:
            for part in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                found += _shapes(part)
    return found


def _dims(kind: onnx.TypeProto) -> list[list[int]]:
    match kind.WhichOneof("value"):
        case "tensor_type" | "sparse_tensor_type" as name:
            dims = getattr(kind, name).shape.dim
            return [[dim.dim_value for dim in dims if dim.HasField("dim_value")]]
        case "sequence_type" | "optional_type" as name:
            part = getattr(kind, name)
            return _dims(part.elem_type) if part.HasField("elem_type") else []
        case "map_type":
            return _dims(kind.map_type.value_type) if kind.map_type.HasField("value_type") else []
        case _:
            return []


def check(case: bytes) -> str:
    recorder = _Recorder(len(case))
    try:
        check_graph(case, recorder)
    except GraphRefused as error:
        assert 0 < len(str(error)) <= 2 * LONGEST_DETAIL, f"a text of {len(str(error))} characters"
        return "no graph" if "not a readable ONNX graph" in str(error) else "refused"
    try:
        model = onnx.ModelProto.FromString(case)
    except DecodeError as error:
        raise AssertionError("taken, and protobuf cannot read it") from error
    found = [event for event in recorder.seen if event[0] != "declared"]
    for ours, theirs in zip(found, _expected(model.graph), strict=True):
        assert ours == theirs or "odd" in repr(theirs), f"{ours} is not {theirs}"
    declared = [event for event in recorder.seen if event[0] == "declared"]
    assert sorted(map(repr, declared)) == sorted(map(repr, _shapes(model.graph)))
    return "taken"


def _mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Mostly mutates fields, sometimes bytes."""
    try:
        model = onnx.ModelProto.FromString(case)
    except DecodeError:
        model = None
    if model is None or not model.graph.node or chance.random() < 0.4:
        return _bytewise(case, other, chance)
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change(model.graph, chance)
    return bytes(model.SerializeToString())


def _change(graph: onnx.GraphProto, chance: Random) -> None:
    node = chance.choice(graph.node) if graph.node else graph.node.add(op_type="Relu")
    attribute = chance.choice(node.attribute) if node.attribute else node.attribute.add(name=chance.choice(_NAMES))
    tensor = chance.choice(graph.initializer) if graph.initializer else attribute.t
    match chance.randrange(8):
        case 0:
            node.op_type = chance.choice(
                ("Expand", "Tile", "Pad", "Range", "Resize", "Add", "Concat", "Reshape", "Conv")
            )
        case 1:
            node.input.append(chance.choice(_NAMES))
        case 2:
            attribute.ints.extend([chance.choice(_SIZES)] * chance.choice((1, 2, 70)))
        case 3:
            attribute.floats.append(chance.choice((0.0, -0.0, 1e30, float("nan"), float("inf"), 0.5)))
        case 4:
            tensor.dims.append(chance.choice(_SIZES))
        case 5:
            tensor.data_type = chance.randrange(28)
        case 6:
            tensor.int64_data.append(chance.choice(_SIZES))
        case _:
            attribute.name = chance.choice(_NAMES)


def _seeds() -> list[bytes]:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    made = []
    for kind in ("float32", "float64", "float16", "int64", "int32", "uint8", "uint64", "bool"):
        values = np.array([1, 0, 3]).astype(kind)
        told = numpy_helper.from_array(values, "told")
        typed = helper.make_tensor("typed", told.data_type, [3], values)
        nodes = [
            helper.make_node("Constant", [], ["a"], value=told),
            helper.make_node("Cast", ["told"], ["b"], to=TensorProto.INT64),
            helper.make_node("Expand", ["x", "b"], ["y"]),
        ]
        made.append(helper.make_graph(nodes, "g", [x], [y], [told, typed]))
    nodes = [
        helper.make_node("Constant", [], ["a"], value_ints=[1, 2]),
        helper.make_node("Constant", [], ["b"], value_float=0.5),
        helper.make_node("Upsample", ["x"], ["c"], scales=[1.0, 2.0], mode="nearest"),
        helper.make_node("Conv", ["c", "w"], ["d"], pads=[1, 1], strides=[1], group=1, auto_pad="NOTSET"),
        helper.make_node(
            "TreeEnsembleRegressor", ["d"], ["y"], domain="ai.onnx.ml", n_targets=1, nodes_falsenodeids=range(90)
        ),
    ]
    made.append(helper.make_graph(nodes, "g", [x], [y], value_info=[helper.make_tensor_value_info("c", 1, [3, 4])]))
    made.append(
        helper.make_graph(
            [helper.make_node("If", ["x"], ["y"], then_branch=made[0], else_branch=made[-1])], "g", [x], [y]
        )
    )
    return [helper.make_model(graph).SerializeToString() for graph in made]


TARGET = Target("graph", check, _seeds(), _mutate)
