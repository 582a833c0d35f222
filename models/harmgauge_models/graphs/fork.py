"""Passes a fused graph's inputs to each of its networks, under names that collide with no others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx
from onnx import helper

from harmgauge_models.errors import UserError

INPUT = "input"
"""The fused graph's only input, unless it keeps the classifier's names."""

OUTPUTS = {"score", "probabilities", "features", "error_probability", "corrected_probabilities"}
"""Outputs of a bundle's graph: an input cannot have the same name."""

PREFIXES = ("classifier/", "second/", "to_classifier", "to_second", "error_probability/", "features/", "adjustment/")
"""Beginnings of the fused graph's inner names."""


def branch(to: str, name: str) -> str:
    """The tensor that passes the fused graph's input `name` on to a network."""
    return to if name == INPUT else f"{to}/{name}"


def fork_inputs(
    model: onnx.ModelProto, prefix: str, served: Mapping[str, str], opset: int, branches: Sequence[str]
) -> onnx.ModelProto:
    """A graph that passes each input on to each of the branches.

    `served` has the fused graph's name for each input of `model`, whose names begin with `prefix`.
    """
    declared = {value.name: value for value in model.graph.input}
    inputs, outputs, nodes = [], [], []
    for name, as_name in served.items():
        source = declared[f"{prefix}{name}"]
        inputs.append(_renamed(source, as_name))
        for to in branches:
            outputs.append(_renamed(source, branch(to, as_name)))
            nodes.append(helper.make_node("Identity", [as_name], [outputs[-1].name]))
    graph = helper.make_graph(nodes, "fork", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def keep_clear_of(model: onnx.ModelProto, names: Collection[str]) -> None:
    """Rename the inner tensors of `model` that are called like one of `names`, in place: a column may be called y."""
    outside = {value.name for value in (*model.graph.input, *model.graph.output)}
    inside = {output for node in model.graph.node for output in node.output} - outside
    renamed = {name: f"divergence/{name}" for name in inside.intersection(names)}
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            for index, tensor in enumerate(tensors):
                tensors[index] = renamed.get(tensor, tensor)


def check_names(names: Collection[str], what: str) -> None:
    """Raise UserError if the fused graph cannot have inputs of these names."""
    for name in names:
        if name in OUTPUTS or name.startswith(PREFIXES):
            raise UserError(
                f"{what} has an input called {name!r}, a name that a bundle's graph needs itself: rename the input, "
                f"for example to {name.replace('/', '_')}_in, and export it again"
            )


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    found = onnx.ValueInfoProto()
    found.CopyFrom(value)
    found.name = name
    return found
