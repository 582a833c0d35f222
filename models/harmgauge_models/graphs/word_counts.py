"""Counts the words of text inputs inside the graph: a classifier of known words does not show how many it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.fuse import opset_of

WORDS = "harmgauge/words"
"""The tensor (n, texts) float32 of the numbers of words."""

MIN_OPSET = 20
"""The first opset with StringSplit."""


def with_word_counts(classifier: Classifier, texts: Sequence[str]) -> Classifier:
    """The classifier with the tensor WORDS for its inputs `texts`, unless there are none or its opset is too old."""
    model = onnx.ModelProto()
    model.CopyFrom(classifier.network.model)
    if not texts or opset_of(model) < MIN_OPSET:
        return classifier
    shape = f"{WORDS}/shape"
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1, 1], np.int64), shape))
    columns = []
    for place, name in enumerate(texts):
        words, count, column, real = (f"{WORDS}/{place}/{part}" for part in ("words", "count", "column", "real"))
        model.graph.node.extend(
            [
                helper.make_node("StringSplit", [name], [words, count], name=count),
                helper.make_node("Reshape", [count, shape], [column], name=column),
                helper.make_node("Cast", [column], [real], to=TensorProto.FLOAT, name=real),
            ]
        )
        columns.append(real)
    model.graph.node.append(helper.make_node("Concat", columns, [WORDS], axis=1, name=WORDS))
    return replace(classifier, network=replace(classifier.network, model=model))
