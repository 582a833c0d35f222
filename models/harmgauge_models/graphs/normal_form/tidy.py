"""Repairs files that ONNX Runtime accepts and ONNX's own tools reject, without changing their results."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import onnx
from onnx import helper

from harmgauge_models.errors import UserError

OPSET = 18
"""The opset for a file whose exporter declared none: such a file uses hardly any of these operators."""

IR_VERSION = 8
"""The first IR version with today's subgraphs; from 4 on, stored tensors need not be inputs too."""

LOCALE = "C.UTF-8"

_OWN_DOMAINS = ("", "ai.onnx")


def tidy(model: onnx.ModelProto) -> bool:
    """Declare ONNX's own operators, remove stored tensors from the inputs, sort the nodes, and change the case of
    strings in a locale that every Linux image has; returns whether anything changed.

    XGBoost's and CatBoost's exporters declare `ai.onnx.ml` alone; ONNX Runtime's float16 converter appends nodes at the
    end. Works in place. Raises UserError if nodes depend on each other in a cycle.
    """
    changed = _declare(model) | _set_locale(model.graph)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, IR_VERSION)
        changed = True
    return _sort(model.graph) | changed


def drop_sequences(model: onnx.ModelProto) -> bool:
    """Remove every ZipMap, its consumers, and outputs that are not tensors; returns whether there were any."""
    graph, gone = model.graph, set[str]()
    kept = []
    for node in graph.node:
        if node.op_type == "ZipMap" or gone.intersection(names_used(node)):
            gone.update(node.output)
        else:
            kept.append(node)
    outputs = [value for value in graph.output if value.name not in gone and value.type.HasField("tensor_type")]
    if len(kept) == len(graph.node) and len(outputs) == len(graph.output):
        return False
    del graph.node[:], graph.output[:]
    graph.node.extend(kept)
    graph.output.extend(outputs)
    return True


def names_used(node: onnx.NodeProto) -> set[str]:
    """The tensors that a node uses, including those that its subgraphs use from outside."""
    used = {name for name in node.input if name}
    for graph in _graphs_in(node):
        inside = {name for inner in graph.node for name in names_used(inner)}
        inside |= {value.name for value in graph.output}
        inside -= {value.name for value in graph.input}
        inside -= {tensor.name for tensor in graph.initializer}
        used |= inside - {name for inner in graph.node for name in inner.output}
    return used


def _graphs_in(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _declare(model: onnx.ModelProto) -> bool:
    if all(entry.domain not in _OWN_DOMAINS for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OPSET))
        model.ir_version = max(model.ir_version, IR_VERSION)
        return True
    changed = False
    for part in [*model.opset_import, *_all_nodes(model.graph)]:
        if part.domain == "ai.onnx":
            part.domain = ""
            changed = True
    return changed


def _set_locale(graph: onnx.GraphProto) -> bool:
    """StringNormalizer needs the locale en_US by default, which slim images lack; C.UTF-8 changes case alike."""
    changed = False
    for node in _all_nodes(graph):
        if node.op_type == "StringNormalizer":
            given = next((entry for entry in node.attribute if entry.name == "locale"), None)
            if given is None:
                node.attribute.append(helper.make_attribute("locale", LOCALE))
            elif given.s.startswith(b"en_US") or not given.s:
                given.s = LOCALE.encode()
            else:
                continue
            changed = True
    return changed


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inner in _graphs_in(node):
            yield from _all_nodes(inner)


def _sort(graph: onnx.GraphProto) -> bool:
    """Put each node after those whose outputs it uses, otherwise in the same order; returns whether the order
    changed.
    """
    changed = False
    for node in graph.node:
        for inner in _graphs_in(node):
            changed |= _sort(inner)
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    before = [{maker[name] for name in names_used(node) if name in maker} for node in graph.node]
    if all(index > max(needed, default=-1) for index, needed in enumerate(before)):
        return changed
    waiting = [len(needed) for needed in before]
    after: list[list[int]] = [[] for _ in before]
    for index, needed in enumerate(before):
        for other in needed:
            after[other].append(index)
    ready = [index for index, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for other in after[index]:
            waiting[other] -= 1
            if not waiting[other]:
                heapq.heappush(ready, other)
    if len(order) < len(before):
        stuck = next(graph.node[index] for index, count in enumerate(waiting) if count)
        raise UserError(f"the graph has a cycle, with {stuck.op_type} in it: export it again")
    nodes = [onnx.NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)
    return True
