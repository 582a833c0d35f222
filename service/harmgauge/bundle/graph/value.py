"""Facts about a constant that are known without computing it: its shape, its width, and its numbers if there are
few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.graph.refused import GraphRefused

SMALL_ELEMENTS = 64
"""Shapes never have more elements than this."""

MAX_AXES = 16

BEYOND = 2**63
"""Represents a size that is not a number."""

Shape = tuple[int, ...]
Number = int | float


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A constant tensor. `numbers` has the same shape; None if there are too many, they are strings, or they are not
    computed.
    """

    shape: Shape
    item_bytes: int
    numbers: npt.NDArray[Any] | None = None

    @property
    def elements(self) -> int:
        """Number of elements, ignoring axes of length 0, which some operators interpret as other lengths."""
        return elements_of(self.shape)


@dataclass(slots=True)
class Attribute:
    """An attribute of a node. `kind` is its field in AttributeProto, "" for an empty list.

    Numbers are the first `SMALL_ELEMENTS` of `count`, or a few more; `largest` and `total` cover all integers.
    """

    kind: str = ""
    numbers: list[Number] = field(default_factory=list)
    count: int = 0
    largest: int = 0
    total: int = 0
    text: bytes = b""
    tensor: Value | None = None

    @property
    def value(self) -> Value | None:
        """The output of a Constant with this attribute."""
        if self.tensor is not None or self.kind not in ("i", "f", "ints", "floats"):
            return self.tensor
        numbers = np.array(self.numbers, np.int64 if self.kind.startswith("i") else np.float32)
        if self.count > SMALL_ELEMENTS:
            return Value((self.count,), numbers.itemsize)
        numbers = numbers if self.kind.endswith("s") else numbers.reshape(())
        return Value(numbers.shape, numbers.itemsize, numbers)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of the graph."""

    operator: bytes
    domain: bytes
    inputs: Sequence[bytes]
    outputs: Sequence[bytes]
    attributes: Mapping[bytes, Attribute]


class Call:
    """A node with the known facts about its inputs: None for those that are absent or arrive with a request."""

    def __init__(self, node: Node, values: Sequence[Value | None]) -> None:
        self.node = node
        self.values = values

    def value(self, index: int) -> Value | None:
        return self.values[index] if index < len(self.values) else None

    def given(self, index: int) -> bool:
        """Whether the node has this input, known or not."""
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def shape(self, index: int) -> Shape:
        """The input's shape; empty if it is unknown."""
        value = self.value(index)
        return value.shape if value else ()

    def told(self, index: int) -> list[Number] | None:
        """The numbers of an input that defines a shape; None if they are unknown. Raises GraphRefused."""
        value = self.value(index)
        if value is None:
            return None
        if value.elements > SMALL_ELEMENTS:
            raise self.refused(f"is given the shape by {value.elements} numbers; expected at most {SMALL_ELEMENTS}")
        return None if value.numbers is None else value.numbers.reshape(-1).tolist()

    def told_sizes(self, index: int) -> list[int] | None:
        """The same, rounded up."""
        numbers = self.told(index)
        return None if numbers is None else [whole(number) for number in numbers]

    def scalar(self, index: int) -> Number | None:
        numbers = self.told(index)
        return numbers[0] if numbers else None

    def attribute(self, name: bytes) -> list[Number]:
        """The attribute's numbers; empty if there is no such attribute. Raises GraphRefused."""
        found = self.node.attributes.get(name)
        if found is None:
            return []
        if found.count > SMALL_ELEMENTS:
            raise self.refused(
                f"is given the {name.decode()} by {found.count} numbers; expected at most {SMALL_ELEMENTS}"
            )
        return found.numbers

    def sizes(self, name: bytes) -> list[int]:
        """The same, rounded up."""
        return [whole(number) for number in self.attribute(name)]

    def size(self, name: bytes, default: int) -> int:
        """The attribute's only number, rounded up."""
        return (self.sizes(name) or [default])[0]

    def refused(self, what: str) -> GraphRefused:
        operator = self.node.operator.decode(errors="replace")
        return GraphRefused(f"{operator} {what}: export it again")


def elements_of(shape: Sequence[int]) -> int:
    """Number of elements, ignoring axes of length 0."""
    return math.prod(max(abs(size), 1) for size in shape)


def whole(number: Number) -> int:
    """The number rounded up; `BEYOND` if it is not finite."""
    return math.ceil(number) if math.isfinite(number) else BEYOND


def broadcast(*shapes: Shape) -> Shape:
    """The broadcast shape, as in NumPy; if axes do not match, the longer length."""
    distinct = set(shapes)
    axes = max((len(shape) for shape in distinct), default=0)
    padded = [(1,) * (axes - len(shape)) + shape for shape in distinct]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))
