"""A bundle's graph as PyTorch modules, for attacks on the classifier, or on classifier and detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from torch import Tensor, nn

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.normal_form.tidy import names_used
from harmgauge_models.graphs.to_torch import Converted, to_torch

OUTPUTS = ("log_first", "log_second", "score")
"""Tensors of every fused graph: the unclipped logarithms of both networks' probabilities, and the score."""


@dataclass(frozen=True)
class Watched:
    """Modules that accept raw real-valued instances (n, *shape).

    `classifier` and `second` return logits (n, classes), normalised to log-probabilities; for an adversarial
    autoencoder `second` is the defense. `score` returns (n,). They share their weights, which are frozen.
    """

    classifier: nn.Module
    second: nn.Module
    score: nn.Module


def open_watched(graph: bytes, x: Array) -> Watched:
    """Convert a bundle's `detector.onnx` and compare it with ONNX Runtime on the rows `x`; raises UserError."""
    whole = to_torch(_giving(graph, OUTPUTS), x, "the bundle's graph")
    return Watched(*(_One(whole, index) for index in range(len(OUTPUTS))))


def open_classifier(graph: bytes, x: Array) -> nn.Module:
    """The classifier of `open_watched` alone: several times as fast if the second network is large."""
    return _One(to_torch(_giving(graph, OUTPUTS[:1]), x, "the bundle's graph"), 0)


def _giving(graph: bytes, names: Sequence[str]) -> onnx.ModelProto:
    """A bundle's graph with the outputs `names` and only the nodes that they need. Raises UserError."""
    model = onnx.load_from_string(graph)
    known = {output for node in model.graph.node for output in node.output}
    if not known.issuperset(OUTPUTS):
        raise UserError("the graph lacks the tensors of a graph made by harmgauge: build the bundle again")
    needed, kept = set(names), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
            needed |= names_used(node)
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(reversed(kept))
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return model


class _One(nn.Module):
    def __init__(self, whole: Converted, index: int) -> None:
        super().__init__()
        self.whole, self.index = whole, index

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.whole(x)[self.index]
        return found
