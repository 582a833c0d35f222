"""A classifier behind an autoencoder, in ONNX: the second network of an adversarial autoencoder, and the additional
parts of its fused graph.

The fused graph contains the classifier twice, with and without the autoencoder in front, but its weights only once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, parser

from harmgauge.bundle.part import Dtype
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.divergence import MIN_OPSET, divergence_text
from harmgauge_models.graphs.fuse import Network, at_opset, free_rows, opset_of
from harmgauge_models.graphs.hidden_layers import HiddenLayer

AUTOENCODER = "autoencoder/"
"""Prefix of the autoencoder's names in the second network."""


def behind(classifier: Network, autoencoder: onnx.ModelProto, dtype: Dtype) -> Network:
    """The classifier on the reconstruction: `dtype` rows (n, *shape) to the classifier's output (n, classes).

    The autoencoder has one input and one output, both (n, *shape). Its reconstruction is not rounded, even for a
    classifier of whole numbers, which must begin with a Cast. Raises UserError if the two cannot be joined.
    """
    opset = max(MIN_OPSET, opset_of(classifier.model), opset_of(autoencoder))
    front = onnx.ModelProto()
    front.CopyFrom(at_opset(autoencoder, opset))
    free_rows(front, [value.name for value in (*front.graph.input, *front.graph.output)])
    front = compose.add_prefix(front, AUTOENCODER)
    back = onnx.ModelProto()
    back.CopyFrom(at_opset(classifier.model, opset))
    _give_reals(front, back, classifier.input, dtype)
    front.ir_version = back.ir_version = max(front.ir_version, back.ir_version)
    reconstruction = front.graph.output[0].name
    try:
        model = compose.merge_models(front, back, [(reconstruction, classifier.input)], outputs=[classifier.output])
    except (ValueError, onnx.checker.ValidationError) as error:
        raise UserError(f"cannot put the autoencoder in front of the classifier: {error}") from error
    return Network(model, (front.graph.input[0].name,), classifier.output, classifier.gives)


def finish(fused: onnx.ModelProto, hidden: Sequence[HiddenLayer]) -> onnx.ModelProto:
    """Complete, in place, the graph that `fuse` made of a classifier and the network from `behind`; returns it.

    Adds the output `corrected_probabilities` (n, classes) float32, those of the reconstruction, and adds weight x KL(h
    || h') of each hidden layer to the score, where h is the distribution of its softmax head; shares the weights.
    """
    graph = fused.graph
    classes = next(value for value in graph.output if value.name == "probabilities").type.tensor_type.shape.dim[1]
    graph.node.append(helper.make_node("Exp", ["log_second"], ["corrected_probabilities"]))
    shape = ["n", classes.dim_value or classes.dim_param]
    graph.output.append(helper.make_tensor_value_info("corrected_probabilities", TensorProto.FLOAT, shape))
    if hidden:
        _add_hidden(fused, hidden)
    _share_weights(graph)
    return fused


def _give_reals(front: onnx.ModelProto, back: onnx.ModelProto, name: str, dtype: Dtype) -> None:
    """Convert the reconstruction to the input dtype of the classifier's first nodes."""
    element = front.graph.output[0].type.tensor_type.elem_type
    wanted = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    if element == wanted:
        return
    if np.dtype(dtype).kind == "f":
        before = front.graph.output[0].name
        front.graph.node.append(helper.make_node("Cast", [before], [f"{before}/cast"], to=wanted))
        front.graph.output[0].name = f"{before}/cast"
        front.graph.output[0].type.tensor_type.elem_type = wanted
    elif any(name in node.input and node.op_type != "Cast" for node in back.graph.node):
        raise UserError(
            f"the classifier's input is {dtype} and it does not begin with a Cast to real numbers, so it cannot run on "
            "a reconstruction: export it with a float32 input, or with a Cast as its first node"
        )


def _add_hidden(fused: onnx.ModelProto, hidden: Sequence[HiddenLayer]) -> None:
    graph = fused.graph
    for node in graph.node:
        for index, output in enumerate(node.output):
            if output == "score":
                node.output[index] = "score_of_output"
    total = "score_of_output"
    for number, layer in enumerate(hidden):
        prefix = f"hidden_{number}/"
        graph.initializer.append(numpy_helper.from_array(layer.projection, f"{prefix}projection"))
        graph.initializer.append(numpy_helper.from_array(np.array(layer.weight, np.float32), f"{prefix}weight"))
        for way, role in (("classifier/", "first"), ("second/", "second")):
            real, flat = f"{prefix}{role}/real", f"{prefix}{role}/flat"
            graph.node.extend(
                [
                    helper.make_node("Cast", [way + layer.name], [real], to=TensorProto.FLOAT),
                    helper.make_node("Flatten", [real], [flat], axis=1),
                    helper.make_node("MatMul", [flat, f"{prefix}projection"], [prefix + role]),
                ]
            )
        text = divergence_text("logits", "logits", "kld", 1.0, opset_of(fused))
        graph.node.extend(compose.add_prefix(parser.parse_model(text), prefix).graph.node)
        graph.node.append(helper.make_node("Mul", [f"{prefix}score", f"{prefix}weight"], [f"{prefix}weighted"]))
        after = "score" if number == len(hidden) - 1 else f"{prefix}total"
        graph.node.append(helper.make_node("Add", [total, f"{prefix}weighted"], [after]))
        total = after


def _share_weights(graph: onnx.GraphProto) -> None:
    """Keep one copy of each set of equal initializers."""
    kept: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    instead: dict[str, str] = {}
    initializers = []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        first = kept.setdefault((tensor.data_type, tuple(tensor.dims), array.tobytes()), tensor.name)
        if first == tensor.name:
            initializers.append(tensor)
        else:
            instead[tensor.name] = first
    del graph.initializer[:]
    graph.initializer.extend(initializers)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = instead.get(name, name)
