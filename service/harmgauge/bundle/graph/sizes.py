"""Memory that a graph requires beyond its own bytes: explicit sizes, and constants computed from constants.

ONNX Runtime computes everything that depends only on constants while it loads a graph. Request tensors are not
followed, and neither is the number of iterations of a Loop: a process with its own limits detects those.
"""

from __future__ import annotations

from collections.abc import Sequence

from harmgauge.bundle.graph import schema as onnx
from harmgauge.bundle.graph.crashes import check_crashes
from harmgauge.bundle.graph.growth import GROWING
from harmgauge.bundle.graph.refused import GraphRefused, shown
from harmgauge.bundle.graph.shapes import item_bytes_of, shape_of
from harmgauge.bundle.graph.tensor import Tensor
from harmgauge.bundle.graph.value import MAX_AXES, Call, Node, Shape, Value, elements_of
from harmgauge.bundle.graph.values import numbers_of

MAX_ELEMENTS = 2**28
"""Limit for one tensor without its row axis: 1 GiB in float32."""

GROWN_BYTES = 256 * 2**20
GROWN_PER_BYTE = 8
"""Constants computed from constants may take `GROWN_BYTES` plus this much for each byte of the file: dequantising and
transposing int8 weights takes 8.
"""

TEXT_BYTES = 64

_WITH_GRAPHS = frozenset(b"If Loop Scan SequenceMap".split())


class Sizes:
    """Follows a graph's nodes in order; subgraphs see the names around them."""

    def __init__(self, file_bytes: int) -> None:
        self._allowed_bytes = GROWN_BYTES + GROWN_PER_BYTE * file_bytes
        self._grown_bytes = 0
        self._scopes: list[_Scope] = []

    def enter(self) -> None:
        """Begin a graph."""
        self._scopes.append(_Scope())

    def leave(self) -> None:
        """End the current graph."""
        self._scopes.pop()

    def input(self, name: bytes) -> None:
        """Visit one of the graph's inputs. Raises GraphRefused."""
        self._scopes[-1].add(name, None)

    def declared(self, name: bytes, dims: Sequence[int]) -> None:
        """Check the declared shape of an input, an output or an intermediate value; open sizes are -1.

        Raises GraphRefused.
        """
        if any(dim < -1 for dim in dims):
            raise GraphRefused(f"it declares the shape {list(dims)}, which no tensor can have: export it again")
        if elements_of(dims) > MAX_ELEMENTS:
            raise _too_many(f"it declares the shape {list(dims)}")

    def tensor(self, tensor: Tensor) -> None:
        """Visit a stored tensor. Raises GraphRefused."""
        self._scopes[-1].initializer(tensor.name, tensor.value)

    def node(self, node: Node) -> None:
        """Visit the next node, after its subgraphs. Raises GraphRefused."""
        call = Call(node, [self._value(name) for name in node.inputs])
        check_crashes(call)
        known = all(call.value(index) for index in range(len(node.inputs)) if call.given(index))
        made: list[Value | None]
        if node.operator == b"Constant":
            made = [next((attribute.value for attribute in node.attributes.values()), None)]
        elif node.operator in _WITH_GRAPHS:
            made = []
        elif known or node.operator in GROWING:
            made = self._made(call, known)
        else:
            made = []
        for index, name in enumerate(node.outputs):
            if name:
                self._scopes[-1].add(name, made[min(index, len(made) - 1)] if made else None)

    def _value(self, name: bytes) -> Value | None:
        for scope in reversed(self._scopes) if name else ():
            if name in scope.values:
                return scope.values[name]
            scope.missed.add(name)
        return None

    def _made(self, call: Call, known: bool) -> list[Value | None]:
        shape = _checked(call)
        if shape is None or not known:
            return []
        numbers = numbers_of(call, shape)
        if numbers is not None:
            return [Value(numbers.shape, numbers.itemsize, numbers)]
        value = Value(shape, item_bytes_of(call, _width(call.size(b"to", onnx.FLOAT))))
        self._grown_bytes += value.elements * value.item_bytes * max(sum(map(bool, call.node.outputs)), 1)
        if self._grown_bytes > self._allowed_bytes:
            operator = call.node.operator.decode(errors="replace")
            raise GraphRefused(
                f"values that it computes from constants alone need more than {self._allowed_bytes >> 20} MiB, as of "
                f"{operator} with the shape {list(shape)}: let the exporter fold constants"
            )
        return [value]


class _Scope:
    """The names in one graph."""

    def __init__(self) -> None:
        self.values: dict[bytes, Value | None] = {}
        self.missed = set[bytes]()
        self._stored = set[bytes]()

    def add(self, name: bytes, value: Value | None) -> None:
        if name in self.values:
            raise GraphRefused(f"it uses the name {shown(name)} twice in one graph: export it again")
        if name in self.missed:
            raise GraphRefused(
                f"a node uses {shown(name)} before another produces it: sort the nodes, or export it again"
            )
        self.values[name] = value

    def initializer(self, name: bytes, value: Value) -> None:
        if name in self._stored:
            raise GraphRefused(f"it gives the name {shown(name)} to two stored tensors: export it again")
        self._stored.add(name)
        # For an input with this name it is the default value; in graphs of IR version 3 it is a constant.
        self.values[name] = value


def _checked(call: Call) -> Shape | None:
    shape = shape_of(call)
    if shape is None:
        return None
    operator = call.node.operator.decode(errors="replace")
    if len(shape) > MAX_AXES:
        raise GraphRefused(f"{operator} makes a tensor with more than {MAX_AXES} axes: export it again")
    if elements_of(shape) > MAX_ELEMENTS:
        verb = "is given" if call.node.operator in GROWING else "makes"
        raise _too_many(f"{operator} {verb} the shape {list(shape)}")
    return shape


def _width(data_type: int) -> int:
    return -(-onnx.ELEMENT_BITS[data_type] // 8) if data_type in onnx.ELEMENT_BITS else TEXT_BYTES


def _too_many(what: str) -> GraphRefused:
    return GraphRefused(f"{what}, more than {MAX_ELEMENTS} elements: export it again, for smaller instances")
