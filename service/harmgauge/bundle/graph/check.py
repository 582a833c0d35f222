"""The walk through a serialised ONNX model, without the onnx package.

Refused is what would make ONNX Runtime read other files, run code that is not its own, or take memory that the file's
size does not justify. How long it computes, and on what values, is not judged.
"""

from __future__ import annotations

from harmgauge.bundle.graph import schema as onnx
from harmgauge.bundle.graph.refused import GraphRefused
from harmgauge.bundle.graph.sizes import Sizes, check_attribute, check_declared
from harmgauge.bundle.graph.tensor import MAX_AXES, SMALL_ELEMENTS, TOO_MANY, Tensor, read_tensor, shown
from harmgauge.bundle.graph.wire import Malformed, Reader, Schema, signed

MAX_WORK = 5_000_000
"""Up to 7 seconds; the shipped graphs need 50,000. Numbers of a forest of trees count one by one."""

MAX_PARTS = 10_000
"""Inputs, outputs and attributes of one node."""

MAX_DEPTH = 8
"""Graphs in graphs (If, Loop, Scan), and types in types."""

_DOMAINS = {b"", b"ai.onnx", b"ai.onnx.ml"}
_MICROSOFT = b"com.microsoft"
MICROSOFT_OPERATORS = frozenset(
    b"Attention BiasGelu DequantizeLinear DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedConv FusedGemm "
    b"FusedMatMul Gelu MatMulIntegerToFloat MatMulNBits MultiHeadAttention QAttention QGemm QLinearAdd "
    b"QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul "
    b"QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu RotaryEmbedding "
    b"SkipLayerNormalization SkipSimplifiedLayerNormalization".split()
)
"""What ONNX Runtime's own tools write when they quantise or fuse; others of its domain read files (EPContext)."""


def check_graph(data: bytes) -> None:
    """Raises GraphRefused. Linear in the bytes; memory does not grow with what the bytes claim."""
    if data[4:8] == b"ORTM":
        raise GraphRefused("it is in ONNX Runtime's own format: build the bundle from the .onnx file it was made from")
    try:
        _Check().model(memoryview(data))
    except Malformed as error:
        raise GraphRefused(f"it is no ONNX graph that can be read ({error}): export it again") from error


class _Check:
    def __init__(self) -> None:
        self._reader = Reader(MAX_WORK)
        self._sizes = Sizes()

    def model(self, data: memoryview) -> None:
        found = False
        for field, _, content in self._reader.fields(data, onnx.MODEL, "the model"):
            match field:
                case "graph":
                    found = True
                    self._graph(content, 1)
                case "functions":
                    raise GraphRefused(
                        "it has functions of its own, which could grow without bound as they are put in their places: "
                        "onnx.inliner.inline_local_functions does that beforehand"
                    )
                case "training_info":
                    raise GraphRefused("it carries training_info: export it for inference")
        if not found:
            raise Malformed("the model has no graph")
        self._sizes.check()

    def _graph(self, data: memoryview, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise GraphRefused(f"it has graphs in graphs, more than {MAX_DEPTH} deep: export it without")
        for field, _, content in self._reader.fields(data, onnx.GRAPH, "a graph"):
            match field:
                case "node":
                    self._node(content, depth)
                case "initializer":
                    tensor = read_tensor(self._reader, content)
                    self._sizes.constant(tensor.name, tensor.values)
                case "input" | "output" | "value_info":
                    self._value_info(content)
                case "sparse_initializer":
                    raise _sparse()

    def _node(self, data: memoryview, depth: int) -> None:
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
            if len(inputs) + len(outputs) + len(attributes) > MAX_PARTS:
                raise GraphRefused(f"it has a node of more than {MAX_PARTS} inputs, outputs and attributes")
        if domain not in _DOMAINS and not (domain == _MICROSOFT and operator in MICROSOFT_OPERATORS):
            raise GraphRefused(
                f"it has a custom operator, {shown(operator)} of the domain {shown(domain)}: export it with those of "
                "ONNX alone"
            )
        self._sizes.node(operator, inputs)
        for attribute in attributes:
            values = self._attribute(attribute, operator, depth)
            if operator == b"Constant" and outputs:
                self._sizes.constant(outputs[0], values)

    def _attribute(self, data: memoryview, operator: bytes, depth: int) -> tuple[int, ...] | None:
        """The whole numbers that it gives, if it is one that gives some."""
        name, values, tensor = b"", list[int](), Tensor(b"", None)
        for field, number, content in self._reader.fields(data, onnx.ATTRIBUTE, "an attribute"):
            match field:
                case "name":
                    name = bytes(content)
                case "i" | "ints" if len(values) <= SMALL_ELEMENTS:
                    values += self._reader.integers(number, content)
                case "t" | "tensors":
                    tensor = read_tensor(self._reader, content)
                case "g" | "graphs":
                    self._graph(content, depth + 1)
                case "tp" | "type_protos":
                    self._type(content, 1)
                case "sparse_tensor" | "sparse_tensors":
                    raise _sparse()
        numbers = tuple(values) if len(values) <= SMALL_ELEMENTS else TOO_MANY
        check_attribute(operator, name, numbers)
        return numbers or tensor.values

    def _value_info(self, data: memoryview) -> None:
        for field, _, content in self._reader.fields(data, onnx.VALUE_INFO, "a value's description"):
            if field == "type":
                self._type(content, 1)

    def _type(self, data: memoryview, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise GraphRefused(f"it has types in types, more than {MAX_DEPTH} deep: export it without")
        inner: dict[str, tuple[Schema, str]] = {
            "sequence_type": (onnx.SEQUENCE_TYPE, "elem_type"),
            "optional_type": (onnx.SEQUENCE_TYPE, "elem_type"),
            "map_type": (onnx.MAP_TYPE, "value_type"),
        }
        for field, _, content in self._reader.fields(data, onnx.TYPE, "a type"):
            if field in ("tensor_type", "sparse_tensor_type"):
                self._tensor_type(content)
            elif field in inner:
                schema, wanted = inner[field]
                for part, _, of in self._reader.fields(content, schema, "a type"):
                    if part == wanted:
                        self._type(of, depth + 1)

    def _tensor_type(self, data: memoryview) -> None:
        dims: list[int] = []
        for field, _, shape in self._reader.fields(data, onnx.TENSOR_TYPE, "a tensor's type"):
            if field == "shape":
                for _, _, dim in self._reader.fields(shape, onnx.SHAPE, "a shape"):
                    values = self._reader.fields(dim, onnx.DIMENSION, "a dimension")
                    dims += [signed(number) for part, number, _ in values if part == "dim_value"]
                    if len(dims) > MAX_AXES:
                        raise GraphRefused(f"a shape of more than {MAX_AXES} axes is declared: export it again")
        check_declared(dims)


def _sparse() -> GraphRefused:
    return GraphRefused(
        "it stores a tensor as sparse, a few bytes that stand for any number: store it dense, and the file compressed "
        "if it must be small"
    )
