"""Finds the tensor of a graph that holds the class scores."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import onnx
from onnx import TensorProto

from harmgauge_models.errors import UserError

REALS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
WORDS = ("logit", "prob", "softmax")
"""Words in the name of the class scores' output that distinguish it from other outputs."""

PASSING = {"Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "ArrayFeatureExtractor", "LabelEncoder"}
"""Operators that may occur between a label and the output."""

CLASSIFIERS = {"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"}
"""Operators of ai.onnx.ml that output a label and the scores."""


def candidates(model: onnx.ModelProto, named: str | None, what: str, option: str) -> list[str]:
    """The tensors that may hold the class scores, usually one. `named` is the value of `option`.

    Lists of dictionaries (ZipMap) are traced to their source. Raises UserError if there is none.
    """
    maker = {name: node for node in model.graph.node for name in node.output}
    if named is not None:
        return [_named(model, maker, named, what, option)]
    found = []
    for value in model.graph.output:
        behind = _behind_zipmap(maker, value.name)
        if behind is not None:
            found.append(behind)
        elif value.type.HasField("tensor_type") and _may_be_scores(value, maker):
            found.append(value.name)
    if not found:
        raise labels_alone(model, maker, what, option)
    found = list(dict.fromkeys(found))
    telling = [name for name in found if any(word in name.lower() for word in WORDS)]
    return telling if len(telling) == 1 else found


def label_source(maker: Mapping[str, onnx.NodeProto], name: str) -> onnx.NodeProto | None:
    """The node that decides on a label, if this tensor is only a label."""
    while (node := maker.get(name)) is not None:
        if node.op_type in ("ArgMax", "ArgMin") or (node.op_type in CLASSIFIERS and node.output[0] == name):
            return node
        if node.op_type not in PASSING:
            return None
        # Follow the label's own input: an extractor takes the class names first and the index second.
        name = node.input[1 if node.op_type == "ArrayFeatureExtractor" and len(node.input) > 1 else 0]
    return None


def labels_alone(model: onnx.ModelProto, maker: Mapping[str, onnx.NodeProto], what: str, option: str) -> UserError:
    """The error for a classifier that outputs only a class, without class scores."""
    inside = None
    for value in model.graph.output:
        node = label_source(maker, value.name)
        if node is not None:
            inside = node.input[0] if node.op_type.startswith("Arg") else [*node.output, ""][1]
            break
    remedy = f", which are inside the graph: {option} {inside}" if inside else ""
    return UserError(f"{what} outputs only a label: export the class scores{remedy}")


def _named(model: onnx.ModelProto, maker: Mapping[str, onnx.NodeProto], named: str, what: str, option: str) -> str:
    outputs = {value.name: value for value in model.graph.output}
    if named not in outputs and named not in maker:
        close = difflib.get_close_matches(named, [*outputs, *maker], 3)
        raise UserError(
            f"{option} {named}: {what} has no such output; its outputs are {', '.join(outputs)}"
            + (f" (or did you mean {', '.join(close)}?)" if close else "")
        )
    behind = _behind_zipmap(maker, named)
    if behind is not None:
        return behind
    if named in outputs and not _may_be_scores(outputs[named], maker):
        raise labels_alone(model, maker, f"the output {named!r} of {what}", option)
    return named


def _behind_zipmap(maker: Mapping[str, onnx.NodeProto], name: str) -> str | None:
    """The array that a ZipMap turned into this output's dictionaries, also through Identity; None if there is none."""
    while (node := maker.get(name)) is not None:
        if node.op_type == "ZipMap":
            return str(node.input[0])
        if node.op_type not in ("Identity", "Cast"):
            return None
        name = node.input[0]
    return None


def _may_be_scores(value: onnx.ValueInfoProto, maker: Mapping[str, onnx.NodeProto]) -> bool:
    element = value.type.tensor_type.elem_type
    return element in REALS | {TensorProto.UNDEFINED} and label_source(maker, value.name) is None
