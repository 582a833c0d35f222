"""Sizes that stand in the graph itself: shapes that operators are told, as far as they are constants.

A shape of a few bytes (ConstantOfShape, Expand, Tile) can ask for terabytes, and ONNX Runtime computes with constants
as soon as it loads a graph. What is computed on the way to a shape is not followed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harmgauge.bundle.graph.refused import GraphRefused

MAX_ELEMENTS = 2**28
"""Of one tensor without its rows' axis: 1 GiB in float32."""

_SHAPE_INPUTS = {
    b"AffineGrid": (1,),
    b"BlackmanWindow": (0,),
    b"CenterCropPad": (1,),
    b"Col2Im": (0,),
    b"ConstantOfShape": (0,),
    b"DFT": (1,),
    b"Expand": (1,),
    b"HammingWindow": (0,),
    b"HannWindow": (0,),
    b"MaxUnpool": (2,),
    b"OneHot": (1,),
    b"Range": (0, 1),
    b"Resize": (2, 3),
    b"Tile": (1,),
    b"Upsample": (1,),
}
"""Where these operators are told how much they shall give."""

_SHAPE_ATTRIBUTES = {b"shape", b"output_shape", b"scales"}


class Sizes:
    """Collects, in whatever order the graph has them, what constants there are and who is told a size by which."""

    def __init__(self) -> None:
        self._constants: dict[bytes, list[tuple[int, ...]]] = {}
        self._uses: list[tuple[bytes, bytes]] = []

    def constant(self, name: bytes, values: tuple[int, ...] | None) -> None:
        if values is not None:
            # Graphs in graphs may use a name again: all that it may stand for counts.
            self._constants.setdefault(name, []).append(values)

    def node(self, operator: bytes, inputs: Sequence[bytes]) -> None:
        wanted = (1,) if operator == b"Pad" else _SHAPE_INPUTS.get(operator, ())
        self._uses += [(operator, inputs[index]) for index in wanted if index < len(inputs) and inputs[index]]

    def check(self) -> None:
        """Raises GraphRefused."""
        for operator, name in self._uses:
            for values in self._constants.get(name, ()):
                grown = _padded(values) if operator == b"Pad" else values
                _check(grown, f"{operator.decode()} is told the shape {list(values)}")


def check_declared(dims: Sequence[int]) -> None:
    """A shape that an input, an output or a value in between has; what is left open is -1. Raises GraphRefused."""
    if any(dim < -1 for dim in dims):
        raise GraphRefused(f"a shape {list(dims)} is declared, which no tensor can have: export it again")
    _check(dims, f"a shape {list(dims)} is declared")


def check_attribute(operator: bytes, name: bytes, values: Sequence[int]) -> None:
    """A size among a node's attributes. Raises GraphRefused."""
    if name == b"pads":
        _check(_padded(values), f"{operator.decode(errors='replace')} is told the pads {list(values)}")
    elif name in _SHAPE_ATTRIBUTES:
        _check(values, f"{operator.decode(errors='replace')} is told the {name.decode()} {list(values)}")


def _padded(values: Sequence[int]) -> list[int]:
    """What each axis grows by at least: `values` are all beginnings, then all ends."""
    half = len(values) // 2
    return [1 + max(begin, 0) + max(end, 0) for begin, end in zip(values[:half], values[half:], strict=False)]


def _check(dims: Sequence[int], what: str) -> None:
    if math.prod(max(abs(dim), 1) for dim in dims) > MAX_ELEMENTS:
        raise GraphRefused(f"{what}, more than {MAX_ELEMENTS} elements: export it again, for smaller instances")
