"""The tensor inside a graph with named inputs that holds a whole row as numbers, such as the standardised columns."""

from __future__ import annotations

import onnx

from harmgauge.bundle.rows import Array
from harmgauge_models.graphs import records
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.normal_form.tidy import names_used
from harmgauge_models.graphs.penultimate import input_of
from harmgauge_models.graphs.run import open_session

TRIED_ROWS = 4
LEAST_WIDTH = 2


_MODELS = {
    "LinearClassifier",
    "SVMClassifier",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "LinearRegressor",
    "SVMRegressor",
    "TreeEnsembleRegressor",
}
"""Operators of ai.onnx.ml that read a whole row."""


def whole_row(classifier: Classifier, x: Array) -> tuple[str, int] | None:
    """The tensor (n, width) of numbers that a model of ai.onnx.ml reads, otherwise the first one that depends on every
    input of the classifier, and its width.

    None if there is none, or if rows have no fixed length: then it would be no row, but a layer of the network.
    """
    network = classifier.network
    if any(None in taken.shape for taken in classifier.inputs):
        return None
    read = input_of(network, _MODELS)
    names = _joint(network.model, network.inputs) if read is None or read in network.inputs else [read]
    if not names:
        return None
    model = onnx.ModelProto()
    model.CopyFrom(classifier.network.model)
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in there)
    session = open_session(model.SerializeToString())
    given = {node.name: node.type for node in session.get_outputs()}
    names = [name for name in names if given[name].startswith("tensor(") and given[name] != records.STRING]
    rows = x[:TRIED_ROWS]
    for name, values in zip(names, records.run(session, names, rows), strict=True):
        width = values.shape[1] if values.ndim == 2 else 0
        if len(values) == len(rows) and width >= LEAST_WIDTH and values.dtype.kind in "iuf":
            return None if name == classifier.network.output else (name, width)
    return None


def _joint(model: onnx.ModelProto, inputs: tuple[str, ...]) -> list[str]:
    """The tensors that depend on every input, in the order in which they are computed."""
    depends = {name: {name} for name in inputs}
    found = []
    for node in model.graph.node:
        sources = set().union(*(depends.get(name, set()) for name in names_used(node)))
        for output in node.output:
            if output:
                depends[output] = sources
                if len(sources) == len(inputs):
                    found.append(output)
    return found
