"""A term that the fused graph adds to the logit of q before computing P(wrong): a linear function of the second
network's last hidden layer.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

ADJUSTMENT = "adjustment/logit"
"""The tensor (n, 1) of the term, in graphs that have it."""

MOST = 4.0
"""Bound in both directions: rows far from all others cannot change P further."""

MOST_WIDTH = 512

_PREFIX = "adjustment/"
_OF_SECOND = "second/"
"""Prefix that `fuse` adds to all names of the second network."""


def last_hidden(graph: bytes) -> str | None:
    """The tensor (n, width) that a head's last two layers read; None if there is none."""
    model = onnx.load_from_string(graph)
    reads = Counter(
        node.input[0]
        for node in model.graph.node
        if node.op_type in ("Gemm", "MatMul") and node.output[0].startswith(_OF_SECOND)
    )
    shared = [tensor for tensor, layers in reads.items() if layers > 1]
    return shared[-1] if shared else None


def give_adjustment(graph: bytes, tensor: str, weights: npt.NDArray[np.float64], offset: float) -> bytes:
    """Add the clipped adjustment `tensor` (n, width) x `weights` (width,) + `offset` to the graph."""
    model = onnx.load_from_string(without_adjustment(graph))
    low, high, shift = (
        numpy_helper.from_array(np.array(value, np.float32), f"{_PREFIX}{name}")
        for name, value in (("low", -MOST), ("high", MOST), ("offset", offset))
    )
    column = numpy_helper.from_array(weights.astype(np.float32)[:, None], f"{_PREFIX}weights")
    model.graph.initializer.extend([low, high, shift, column])
    nodes = [
        ("MatMul", [tensor, column.name], f"{_PREFIX}product"),
        ("Add", [f"{_PREFIX}product", shift.name], f"{_PREFIX}sum"),
        ("Clip", [f"{_PREFIX}sum", low.name, high.name], ADJUSTMENT),
    ]
    model.graph.node.extend(helper.make_node(kind, given, [made], name=made) for kind, given, made in nodes)
    return bytes(model.SerializeToString())


def without_adjustment(graph: bytes) -> bytes:
    """Undo `give_adjustment`."""
    model = onnx.load_from_string(graph)
    nodes = [node for node in model.graph.node if not node.output[0].startswith(_PREFIX)]
    tensors = [tensor for tensor in model.graph.initializer if not tensor.name.startswith(_PREFIX)]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(tensors)
    return bytes(model.SerializeToString())


def with_output(graph: bytes, tensor: str) -> bytes:
    """Add `tensor` (n, width) float32 to the graph's outputs."""
    model = onnx.load_from_string(graph)
    model.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["n", None]))
    return bytes(model.SerializeToString())
