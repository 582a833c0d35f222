"""Walks a serialised ONNX model without the onnx package.

Refuses anything that would make ONNX Runtime read other files, run foreign code, or take memory that the file's size
does not justify. It does not judge the graph's run time or the values that it computes with.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.graph import schema as onnx
from harmgauge.bundle.graph.refused import GraphRefused, shown
from harmgauge.bundle.graph.sizes import Sizes
from harmgauge.bundle.graph.tensor import Tensor, read_tensor
from harmgauge.bundle.graph.value import MAX_AXES, SMALL_ELEMENTS, Attribute, Node
from harmgauge.bundle.graph.wire import Malformed, Reader, Schema, signed

MAX_WORK = 5_000_000
"""Up to 7 seconds; the shipped graphs need 50,000. A forest of trees has a string for each node."""

MAX_PARTS = 10_000
"""Limit on the inputs, outputs and attributes of one node."""

MAX_DEPTH = 8
"""Limit on the nesting of graphs in graphs (If, Loop, Scan), and of types in types."""

_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml"}
_MICROSOFT = b"com.microsoft"
MICROSOFT_OPERATORS = frozenset(
    b"Attention BiasGelu DequantizeLinear DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedConv FusedGemm "
    b"FusedMatMul Gelu MatMulIntegerToFloat MatMulNBits MultiHeadAttention QAttention QGemm QLinearAdd "
    b"QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul "
    b"QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu RotaryEmbedding "
    b"SkipLayerNormalization SkipSimplifiedLayerNormalization Tokenizer".split()
)
"""Operators that ONNX Runtime's own tools write when they quantise or fuse, and skl2onnx for texts.

Others in its domain read files (EPContext).
"""


class Visitor(Protocol):
    """Receives a graph's parts: inputs, stored tensors, then nodes in order, each after its subgraphs."""

    def enter(self) -> None: ...

    def leave(self) -> None: ...

    def input(self, name: bytes) -> None: ...

    def declared(self, name: bytes, dims: Sequence[int]) -> None: ...

    def tensor(self, tensor: Tensor) -> None: ...

    def node(self, node: Node) -> None: ...


def check_graph(data: bytes, visitor: Visitor | None = None) -> None:
    """Raises GraphRefused. Takes time linear in the bytes; memory does not grow with the sizes that they declare."""
    if data[4:8] == b"ORTM":
        raise GraphRefused("it is in ONNX Runtime's own format: build the bundle from the original .onnx file")
    try:
        _Check(visitor or Sizes(len(data))).model(memoryview(data))
    except Malformed as error:
        raise GraphRefused(f"it is not a readable ONNX graph ({error}): export it again") from error


class _Check:
    def __init__(self, visitor: Visitor) -> None:
        self._reader = Reader(MAX_WORK)
        self._visitor = visitor

    def model(self, data: memoryview) -> None:
        found = False
        for field, _, content in self._reader.fields(data, onnx.MODEL, "the model"):
            match field:
                case "graph":
                    found = True
                    self._graph(content, 1)
                case "opset_import":
                    self._reader.skim(content, onnx.OPERATOR_SET, "a set of operators")
                case "metadata_props":
                    self._entry(content)
                case "functions":
                    raise GraphRefused(
                        "it has local functions, which could grow without bound when they are inlined: inline them "
                        "beforehand with onnx.inliner.inline_local_functions"
                    )
                case "training_info":
                    raise GraphRefused("it contains training_info: export it for inference")
                case "configuration":
                    raise _several_devices()
        if not found:
            raise Malformed("the model has no graph")

    def _graph(self, data: memoryview, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise GraphRefused(f"it has subgraphs nested more than {MAX_DEPTH} deep: export it without them")
        self._visitor.enter()
        nodes, tensors = list[memoryview](), list[memoryview]()
        for field, _, content in self._reader.fields(data, onnx.GRAPH, "a graph"):
            match field:
                case "node":
                    nodes.append(content)
                case "initializer":
                    tensors.append(content)
                case "input" | "output" | "value_info":
                    name = self._value_info(content)
                    if field == "input":
                        self._visitor.input(name)
                case "sparse_initializer":
                    raise _sparse()
                case "metadata_props":
                    self._entry(content)
                case "quantization_annotation":
                    self._annotation(content)
        for content in tensors:
            self._visitor.tensor(read_tensor(self._reader, content))
        for content in nodes:
            self._visitor.node(self._node(content, depth))
        self._visitor.leave()

    def _node(self, data: memoryview, depth: int) -> Node:
        domain = operator = b""
        inputs, outputs, attributes = list[bytes](), list[bytes](), list[memoryview]()
        for field, _, content in self._reader.fields(data, onnx.NODE, "a node"):
            match field:
                case "domain":
                    domain = bytes(content)
                case "op_type":
                    operator = bytes(content)
                case "input":
                    inputs.append(bytes(content))
                case "output":
                    outputs.append(bytes(content))
                case "attribute":
                    attributes.append(content)
                case "metadata_props":
                    self._entry(content)
                case "device_configurations":
                    raise _several_devices()
            if len(inputs) + len(outputs) + len(attributes) > MAX_PARTS:
                raise GraphRefused(
                    f"it has a node with more than {MAX_PARTS} inputs, outputs and attributes: export it again"
                )
        if domain not in _DOMAINS and not (domain == _MICROSOFT and operator in MICROSOFT_OPERATORS):
            raise GraphRefused(
                f"it has a custom operator, {shown(operator)} of the domain {shown(domain)}: export it with standard "
                "ONNX operators only"
            )
        named: dict[bytes, Attribute] = {}
        for content in attributes:
            name, attribute = self._attribute(content, depth)
            if name in named:
                raise GraphRefused(f"{shown(operator)} has the attribute {shown(name)} twice: export it again")
            named[name] = attribute
        return Node(operator, domain, inputs, outputs, named)

    def _attribute(self, data: memoryview, depth: int) -> tuple[bytes, Attribute]:
        name, found = b"", Attribute()
        for field, number, content in self._reader.fields(data, onnx.ATTRIBUTE, "an attribute"):
            match field:
                case "name":
                    name = bytes(content)
                case "type":
                    if number not in onnx.ATTRIBUTE_TYPES:
                        raise Malformed(f"an attribute has the unknown type {number}")
                case "doc_string" | "ref_attr_name":
                    pass
                case _ if found.kind not in ("", field):
                    raise Malformed("an attribute has values of two kinds")
                case _:
                    found.kind = field
                    self._value(found, number, content, depth)
        return name, found

    def _value(self, found: Attribute, number: int, content: memoryview, depth: int) -> None:
        match found.kind:
            case "i" | "ints":
                values = self._reader.many(number, content)
                if len(values):
                    found.numbers += values[: max(0, SMALL_ELEMENTS - found.count)].tolist()
                    found.count += len(values)
                    found.total += _total(values)
                    found.largest = max(found.largest, int(values.max()))
            case "f" | "floats":
                found.count += len(content) // 4
                if len(found.numbers) < SMALL_ELEMENTS:
                    found.numbers += (value for (value,) in struct.iter_unpack("<f", content[: 4 * SMALL_ELEMENTS]))
            case "s":
                found.text = bytes(content)
            case "strings":
                found.count += 1
            case "t":
                found.tensor = read_tensor(self._reader, content).value
            case "tensors":
                read_tensor(self._reader, content)
            case "g" | "graphs":
                self._graph(content, depth + 1)
            case "tp" | "type_protos":
                self._type(content, 1)
            case "sparse_tensor" | "sparse_tensors":
                raise _sparse()

    def _annotation(self, data: memoryview) -> None:
        for field, _, content in self._reader.fields(data, onnx.ANNOTATION, "an annotation"):
            if field == "quant_parameter_tensor_names":
                self._entry(content)

    def _entry(self, data: memoryview) -> None:
        self._reader.skim(data, onnx.ENTRY, "an entry")

    def _value_info(self, data: memoryview) -> bytes:
        name, dims = b"", list[list[int]]()
        for field, _, content in self._reader.fields(data, onnx.VALUE_INFO, "a value's description"):
            match field:
                case "name":
                    name = bytes(content)
                case "type":
                    dims = self._type(content, 1)
                case "metadata_props":
                    self._entry(content)
        for shape in dims:
            self._visitor.declared(name, shape)
        return name

    def _type(self, data: memoryview, depth: int) -> list[list[int]]:
        """The shapes of the tensors in the type."""
        if depth > MAX_DEPTH:
            raise GraphRefused(f"it has types nested more than {MAX_DEPTH} deep: export it without them")
        inner: dict[str, tuple[Schema, str]] = {
            "sequence_type": (onnx.SEQUENCE_TYPE, "elem_type"),
            "optional_type": (onnx.SEQUENCE_TYPE, "elem_type"),
            "map_type": (onnx.MAP_TYPE, "value_type"),
        }
        shapes, kinds = list[list[int]](), set[str]()
        for field, _, content in self._reader.fields(data, onnx.TYPE, "a type"):
            if field == "denotation":
                continue
            kinds.add(field)
            if field == "opaque_type" or len(kinds) > 1:
                raise Malformed("a type has more than one kind, or one that ONNX does not define")
            if field in ("tensor_type", "sparse_tensor_type"):
                shapes.append(self._tensor_type(content))
            else:
                schema, wanted = inner[field]
                for part, _, of in self._reader.fields(content, schema, "a type"):
                    if part == wanted:
                        shapes += self._type(of, depth + 1)
        return shapes

    def _tensor_type(self, data: memoryview) -> list[int]:
        dims: list[int] = []
        for field, _, shape in self._reader.fields(data, onnx.TENSOR_TYPE, "a tensor's type"):
            if field == "shape":
                for _, _, dim in self._reader.fields(shape, onnx.SHAPE, "a shape"):
                    values = {part: number for part, number, _ in self._reader.fields(dim, onnx.DIMENSION, "an axis")}
                    if "dim_value" in values and "dim_param" in values:
                        raise Malformed("an axis has both a size and a name")
                    if "dim_value" in values:
                        dims.append(signed(values["dim_value"]))
                    if len(dims) > MAX_AXES:
                        raise GraphRefused(f"it declares a shape with more than {MAX_AXES} axes: export it again")
        return dims


def _total(values: npt.NDArray[np.int64]) -> int:
    """The sum of the values, which may exceed 64 bits."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def _several_devices() -> GraphRefused:
    return GraphRefused("it is partitioned for several devices: export it for one")


def _sparse() -> GraphRefused:
    return GraphRefused(
        "it stores a sparse tensor, of which a few bytes can expand to any size: store it dense, and compress the file "
        "if it must be small"
    )
