"""Terms that a fused graph adds to the logit of q, the second network's probability of the classifier's answer: linear
functions of the second network's last hidden layer. One is added before the score is computed, another before P(wrong).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge_models.graphs.divergence import find_divergence
from harmgauge_models.graphs.normal_form.tidy import tidy

ADJUSTMENT = "adjustment/logit"
"""The tensor (n, 1) of the term of P(wrong), in graphs that have it."""

MOST = 4.0
"""Bound in both directions: rows far from all others cannot change P further."""

MOST_WIDTH = 512

_PREFIX = "adjustment/"
_OF_SCORE = "score_adjustment/"
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


@dataclass(frozen=True)
class Term:
    """`tensor` (n, width) x `weights` (width,) + `offset`, clipped to [-MOST, MOST]."""

    tensor: str
    weights: npt.NDArray[np.float64]
    offset: float

    def add(self, graph: onnx.GraphProto, prefix: str, share: float = 1.0) -> str:
        """Add `share` of the term to the graph; returns the name of the result, (n, 1)."""
        low, high, shift = (
            numpy_helper.from_array(np.array(share * value, np.float32), f"{prefix}{name}")
            for name, value in (("low", -MOST), ("high", MOST), ("offset", self.offset))
        )
        column = numpy_helper.from_array((share * self.weights).astype(np.float32)[:, None], f"{prefix}weights")
        graph.initializer.extend([low, high, shift, column])
        nodes = [
            ("MatMul", [self.tensor, column.name], f"{prefix}product"),
            ("Add", [f"{prefix}product", shift.name], f"{prefix}sum"),
            ("Clip", [f"{prefix}sum", low.name, high.name], f"{prefix}logit"),
        ]
        graph.node.extend(helper.make_node(kind, given, [made], name=made) for kind, given, made in nodes)
        return f"{prefix}logit"


def give_adjustment(graph: bytes, term: Term) -> bytes:
    """Add the term to the logit of P(wrong); an earlier one is replaced."""
    model = onnx.load_from_string(without_adjustment(graph))
    term.add(model.graph, _PREFIX)
    return bytes(model.SerializeToString())


def adjust_score(graph: bytes, term: Term, share: float) -> bytes:
    """Add `share` of the term to the logit of q in the score, and so in P(wrong) too.

    It is added to the logarithm of the second network's probabilities in proportion to y, which at the low temperature
    of a head is 1 for the classifier's answer and 0 for the other classes. Raises UserError if there is no divergence.
    """
    model = onnx.load_from_string(graph)
    found = find_divergence(model.graph)
    added = term.add(model.graph, _OF_SCORE, share)
    made = [f"{_OF_SCORE}{name}" for name in ("of_named", "log_shifted", "log_normalised")]
    nodes = [
        helper.make_node("Mul", [found.first, added], made[:1], name=made[0]),
        helper.make_node("Add", [found.log_second, made[0]], made[1:2], name=made[1]),
        helper.make_node("LogSoftmax", made[1:2], made[2:], name=made[2], axis=-1),
    ]
    found.clip.input[0] = made[2]
    model.graph.node.extend(nodes)
    tidy(model)
    return bytes(model.SerializeToString())


def has_adjusted_score(graph: bytes) -> bool:
    """Whether `adjust_score` has changed the graph."""
    return any(node.output[0].startswith(_OF_SCORE) for node in onnx.load_from_string(graph).graph.node)


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
