"""Arithmetic on small constants, in the forms that exporters use to compute shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.graph.value import SMALL_ELEMENTS, Call, Shape, elements_of

Array = npt.NDArray[Any]

CASTS: dict[int, str] = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8",
    16: "f4",
}  # fmt: skip
"""NumPy's types by ONNX's codes; bfloat16 is held in float32."""


def numbers_of(call: Call, shape: Shape) -> Array | None:
    """The output; None if it has many numbers or the operator is not supported here."""
    if elements_of(shape) > SMALL_ELEMENTS:
        return None
    if call.node.operator in (b"Shape", b"Size"):
        return _measured(call)
    given = [value.numbers if value else None for value in call.values]
    known = [numbers for numbers in given if numbers is not None]
    if len(known) < sum(value is not None for value in call.values):
        return None
    try:
        with np.errstate(all="ignore"):
            made = _made(call, known, shape)
    except (ArithmeticError, IndexError, TypeError, ValueError):  # ONNX Runtime refuses such nodes
        return None
    return made if made is not None and made.size <= SMALL_ELEMENTS else None


def _made(call: Call, known: list[Array], shape: Shape) -> Array | None:
    operator = call.node.operator
    if operator in _ALONE:
        return np.asarray(_ALONE[operator](known[0])).astype(known[0].dtype)
    if operator in _PAIRS:
        made = known[0]
        for other in known[1:]:
            made = np.asarray(_PAIRS[operator](made, other))
        return made
    if operator in _REDUCTIONS:
        return np.asarray(_REDUCTIONS[operator](known[0], axis=_reduced_axes(call, known[0])), known[0].dtype).reshape(
            shape
        )
    return _moved(call, known, shape)


def _moved(call: Call, known: list[Array], shape: Shape) -> Array | None:
    match call.node.operator:
        case b"Identity" | b"Reshape" | b"Squeeze" | b"Unsqueeze" | b"Flatten":
            return known[0].reshape(shape)
        case b"Cast":
            kind = CASTS.get(call.size(b"to", 0))
            return known[0].astype(kind) if kind else None
        case b"Concat":
            return np.concatenate(known, call.size(b"axis", 0))
        case b"Gather":
            return np.take(known[0], known[1], call.size(b"axis", 0))
        case b"Where":
            return np.where(*known)
        case b"Transpose":
            return np.transpose(known[0], call.sizes(b"perm") or None)
        case b"Slice":
            return _sliced(call, known[0])
        case _:
            return _filled(call, known, shape)


def _filled(call: Call, known: list[Array], shape: Shape) -> Array | None:
    match call.node.operator:
        case b"Range":
            return np.arange(*(numbers.item() for numbers in known), dtype=known[0].dtype)
        case b"ConstantOfShape":
            value = call.node.attributes.get(b"value")
            fill = value.tensor.numbers if value and value.tensor else np.zeros(1, np.float32)
            return None if fill is None else np.broadcast_to(fill.reshape(-1)[:1], shape)
        case b"Expand":
            return np.broadcast_to(known[0], shape)
        case b"Tile":
            return np.tile(known[0], known[1])
        case _:
            return None


def _measured(call: Call) -> Array | None:
    value = call.value(0)
    if value is None:
        return None
    if call.node.operator == b"Size":
        return np.array(np.prod(value.shape, dtype=np.int64))
    end = call.size(b"end", len(value.shape))
    return np.array(value.shape[call.size(b"start", 0) : end], np.int64)


def _reduced_axes(call: Call, numbers: Array) -> tuple[int, ...] | None:
    axes = call.told_sizes(1) if call.given(1) else call.sizes(b"axes")
    if axes:
        return tuple(axis % max(numbers.ndim, 1) for axis in axes)
    return () if call.size(b"noop_with_empty_axes", 0) else None


def _sliced(call: Call, numbers: Array) -> Array:
    if call.given(1):
        starts, ends, axes, steps = (call.told_sizes(index) for index in range(1, 5))
    else:
        starts, ends, axes, steps = (*(call.sizes(name) for name in (b"starts", b"ends", b"axes")), None)
    parts = [slice(None)] * numbers.ndim
    for index, (start, end) in enumerate(zip(starts or (), ends or (), strict=True)):
        step = steps[index] if steps else 1
        # When counting backwards, an end before the first element means no end.
        stop = None if step < 0 and end < -numbers.shape[axes[index] if axes else index] else end
        parts[axes[index] if axes else index] = slice(start, stop, step)
    return numbers[tuple(parts)]


def _divided(first: Array, second: Array) -> Array:
    if first.dtype.kind not in "iu":
        return np.asarray(first / second, first.dtype)
    return np.asarray(first - np.fmod(first, second)) // second


_ALONE: dict[bytes, Callable[[Array], Any]] = {
    b"Abs": np.abs, b"Ceil": np.ceil, b"Exp": np.exp, b"Floor": np.floor, b"Log": np.log, b"Neg": np.negative,
    b"Reciprocal": np.reciprocal, b"Round": np.rint, b"Sqrt": np.sqrt, b"Not": np.logical_not,
}  # fmt: skip

_PAIRS: dict[bytes, Callable[[Array, Array], Any]] = {
    b"Add": np.add, b"And": np.logical_and, b"Div": _divided, b"Equal": np.equal, b"Greater": np.greater,
    b"GreaterOrEqual": np.greater_equal, b"Less": np.less, b"LessOrEqual": np.less_equal, b"Max": np.maximum,
    b"Min": np.minimum, b"Mod": np.mod, b"Mul": np.multiply, b"Or": np.logical_or, b"Pow": np.power,
    b"Sub": np.subtract, b"Sum": np.add,
}  # fmt: skip

_REDUCTIONS: dict[bytes, Callable[..., Any]] = {
    b"ReduceMax": np.max, b"ReduceMin": np.min, b"ReduceProd": np.prod, b"ReduceSum": np.sum,
}  # fmt: skip
