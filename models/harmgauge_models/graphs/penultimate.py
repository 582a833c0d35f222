"""Adds the classifier's features, the input of its last layer, to the outputs of the graph."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from harmgauge.bundle.manifest import FeaturesSpec
from harmgauge.bundle.reference import MAX_FEATURES_ROWS, Reference
from harmgauge.bundle.rows import Array
from harmgauge.drift import isomap
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import Network, served_names
from harmgauge_models.graphs.run import predict

OUTPUT = "features"
NONE = "none"
MAX_WIDTH = 4096
"""Wider features would have as many numbers per row as an image, and cost the service more than they are worth."""

_LINEAR = {"Conv", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul", "QGemm", "QLinearConv", "QLinearMatMul"}


def choose(network: Network, named: str | None, say: Callable[[str], None]) -> str | None:
    """The classifier's tensor that `--features` names, otherwise the input of its last layer; None for no features.

    Raises UserError if there is no tensor of that name.
    """
    if named == NONE:
        return None
    if named is not None:
        if named not in _of_the_input(network):
            raise UserError(
                f"--features {named}: the classifier has no such tensor; view its graph with Netron, use --features "
                "none, or leave the option out to use the last layer's input"
            )
        return named
    found = penultimate(network)
    if found is None:
        say("no features: the classifier has no last linear layer; name a tensor for feature_mmd with --features NAME")
    return found


def penultimate(network: Network) -> str | None:
    """The input of the last linear layer before the output; None if there is no such layer, or more than one."""
    return input_of(network, _LINEAR)


def input_of(network: Network, operators: Collection[str]) -> str | None:
    """The input of the last of these operators before the output; None if there is none, or more than one input."""
    depends = _of_the_input(network)
    maker = {output: node for node in network.model.graph.node for output in node.output}
    taken: set[str] = set()
    seen: set[str] = set()
    ahead = [network.output]
    while ahead:
        tensor = ahead.pop()
        node = maker.get(tensor)
        if node is None or tensor in seen:
            continue
        seen.add(tensor)
        data = [name for name in node.input if name in depends]
        if node.op_type in operators and len(data) == 1:
            taken.update(data)
        else:
            ahead.extend(data)
    return taken.pop() if len(taken) == 1 else None


def _of_the_input(network: Network) -> set[str]:
    """The tensors that depend on the input, and so have a row axis, unlike weights."""
    depends = set(network.inputs)
    for node in network.model.graph.node:  # in the order in which they run
        if depends.intersection(node.input):
            depends.update(node.output)
    return depends


def give(fused: onnx.ModelProto, network: Network, tensor: str) -> None:
    """Make the fused graph output a `tensor` of the classifier, flattened per row, as `features` (n, d) float32."""
    name = served_names(network).get(tensor, f"classifier/{tensor}")
    fused.graph.node.extend(
        [
            helper.make_node("Flatten", [name], [f"{OUTPUT}/flat"], axis=1),
            helper.make_node("Cast", [f"{OUTPUT}/flat"], [OUTPUT], to=TensorProto.FLOAT),
        ]
    )
    fused.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", "d"]))


def reference(
    graph: bytes,
    scores: npt.NDArray[np.float64],
    x: Array,
    *,
    tensor: str | None,
    seed: int,
    say: Callable[[str], None],
) -> Reference:
    """The `scores` of calibration rows `x`, and the features of at most 1000 of these rows, drawn with `seed`.

    Raises UserError if the features are not finite, or too wide.
    """
    if tensor is None:
        return Reference(np.sort(scores))
    picked = np.sort(np.random.default_rng(seed).permutation(len(x))[:MAX_FEATURES_ROWS])
    values = predict(graph, x[picked], "features", OUTPUT)
    if values.shape[1] > MAX_WIDTH:
        raise UserError(
            f"the features ({tensor}) have {values.shape[1]} numbers per row, more than {MAX_WIDTH}: name the tensor "
            "after a pooling layer or of a smaller layer with --features NAME, or use --features none"
        )
    if not np.isfinite(values).all():
        raise UserError(
            f"some features ({tensor}) are not finite: name another tensor with --features, or use --features none"
        )
    try:
        embedding, neighbours = isomap.fit(values)
    except ImportError as error:
        say(f"no picture of the features: it requires scikit-learn ({error}): pip install 'harmgauge[build]'")
    except ValueError as error:
        say(f"no picture of the features: {error}")
    else:
        return Reference(np.sort(scores), values, embedding, neighbours)
    return Reference(np.sort(scores), values)


def spec(found: Reference, tensor: str | None) -> FeaturesSpec | None:
    """The features' entry in the manifest."""
    if found.features is None or tensor is None:
        return None
    return FeaturesSpec(tensor=tensor, width=found.features.shape[1])
