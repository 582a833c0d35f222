"""The names of the classes in a classifier's file, in the order of its scores."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator

import onnx
from onnx import numpy_helper

_ATTRIBUTES = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_METADATA = ("class_names", "classes", "names", "labels", "class_params", "id2label")
"""Metadata keys of exporters: CatBoost `class_params`, Ultralytics `names`, others the rest."""


def class_labels(model: onnx.ModelProto, classes: int) -> tuple[str, ...] | None:
    """The names as strings, even if the labels are whole numbers; None if the file has none or a different number of
    them.

    Call this before removing anything from the file.
    """
    for labels in (*_of_nodes(model.graph), *_of_extractors(model.graph), *_of_metadata(model)):
        if len(labels) == classes and len(set(labels)) == classes:
            return labels
    return None


def label_counts(model: onnx.ModelProto) -> set[int]:
    """The numbers of classes in the file's own classifier operators."""
    return {len(labels) for labels in _of_nodes(model.graph)}


def _of_nodes(graph: onnx.GraphProto) -> Iterator[tuple[str, ...]]:
    for node in reversed(graph.node):
        for attribute in node.attribute:
            if attribute.name in _ATTRIBUTES and (attribute.strings or attribute.ints):
                yield tuple(text.decode(errors="replace") for text in attribute.strings) or tuple(
                    str(number) for number in attribute.ints
                )


def _of_extractors(graph: onnx.GraphProto) -> Iterator[tuple[str, ...]]:
    """The stored labels that skl2onnx indexes with ArgMax."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    places = {name for node in graph.node if node.op_type == "ArgMax" for name in node.output}
    for node in graph.node:
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in stored and node.input[1] in places:
            values = numpy_helper.to_array(stored[node.input[0]]).reshape(-1).tolist()
            yield tuple(value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values)


def _of_metadata(model: onnx.ModelProto) -> Iterator[tuple[str, ...]]:
    found = {entry.key.lower(): entry.value for entry in model.metadata_props}
    for key in _METADATA:
        if (labels := _parsed(found.get(key, ""))) is not None:
            yield labels


def _parsed(text: str) -> tuple[str, ...] | None:
    """A list, or a dictionary from 0, 1, ... to names, as JSON or as Python prints it; or comma-separated names."""
    if not text or len(text) > 10**6:
        return None
    value: object = None
    for reader in (json.loads, ast.literal_eval):
        try:
            value = reader(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if isinstance(value, dict) and "class_names" in value:
        value = value["class_names"]
    if isinstance(value, dict):
        ordered = {str(key): name for key, name in value.items()}
        value = (
            [ordered[str(index)] for index in range(len(ordered))]
            if "0" in ordered and set(ordered) == {str(index) for index in range(len(ordered))}
            else None
        )
    if value is None and "," in text and "{" not in text and "[" not in text:
        value = [part.strip() for part in text.split(",")]
    if isinstance(value, list | tuple) and value and all(isinstance(name, str | int) for name in value):
        return tuple(str(name) for name in value)
    return None
