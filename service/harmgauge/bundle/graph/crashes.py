"""Detects graphs that crash ONNX Runtime with a signal, if this is easy to see."""

from __future__ import annotations

import numpy as np

from harmgauge.bundle.graph.value import Call

_WINDOWED = frozenset(
    b"AveragePool Conv ConvInteger ConvTranspose FusedConv LpPool MaxPool MaxUnpool QLinearAveragePool "
    b"QLinearConv".split()
)
_POSITIVE = (b"group", b"strides", b"dilations", b"kernel_shape")


def check_crashes(call: Call) -> None:
    """Raises GraphRefused if the node would crash ONNX Runtime."""
    operator = call.node.operator
    if operator in _WINDOWED:
        for name in _POSITIVE:
            sizes = call.sizes(name)
            if any(size <= 0 for size in sizes):
                raise call.refused(f"has {name.decode()} {sizes}, which must be positive")
    elif operator in (b"Div", b"Mod"):
        _check_division(call)


def _check_division(call: Call) -> None:
    by = call.value(1)
    if by is None or by.numbers is None or by.numbers.dtype.kind not in "iu":
        return
    if not by.numbers.all():
        raise call.refused("divides whole numbers by a constant 0")
    divided = call.value(0)
    if divided is None or divided.numbers is None or divided.numbers.dtype.kind != "i":
        return
    if (divided.numbers == np.iinfo(divided.numbers.dtype).min).any() and (by.numbers == -1).any():
        raise call.refused("divides the smallest whole number of its type by -1, which overflows")
