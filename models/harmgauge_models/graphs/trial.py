"""Checks, before the training, whether the classifier would be rejected after it."""

from __future__ import annotations

import onnx

from harmgauge.bundle.graph.check import check_graph
from harmgauge.bundle.graph.refused import GraphRefused
from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.fuse import Network, at_opset, fuse, opset_of
from harmgauge_models.graphs.normal_form.any_rows import serialised
from harmgauge_models.graphs.normal_form.tidy import OPSET
from harmgauge_models.graphs.run import predict

TRIED_ROWS = 3


def try_fusing(classifier: Classifier, x: Array) -> None:
    """Fuse the classifier with itself, in the opset of harmgauge's own networks, and run the result on a few rows of
    `x`.

    Raises UserError if it cannot be converted to that opset or fused, or if the service would reject its graph.
    """
    network, what = classifier.network, f"the classifier {classifier.path}"
    try:
        check_graph(serialised(network.model, what))
    except GraphRefused as error:
        raise UserError(f"the service would reject {what}: {error}") from error
    model = onnx.ModelProto()
    model.CopyFrom(at_opset(network.model, max(OPSET, opset_of(network.model))))
    again = Network(model, network.inputs, network.output, network.gives, named=network.named)
    fused = fuse(network, again, "kld", 1.0)
    try:
        predict(serialised(fused, what), x[:TRIED_ROWS], "the data", "probabilities")
    except UserError as error:
        raise UserError(f"{what}, in a bundle's graph: {error}") from error
