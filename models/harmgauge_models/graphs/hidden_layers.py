"""Hidden layers of a classifier that an autoencoder matches in addition to its output, each through a softmax head."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.run import predict

SAMPLED_ROWS = 512


@dataclass(frozen=True)
class Wanted:
    """`--hidden-layer NAME:DIM[:WEIGHT]`: a tensor of the classifier's graph, the head's width, the term's weight."""

    name: str
    dimension: int
    weight: float = 1.0


@dataclass(frozen=True)
class HiddenLayer:
    """A tensor `name` of the classifier's graph, which is flattened and multiplied by `projection` (features,
    dimension) float32 to give logits.

    The projection is drawn once and fixed: if it were trained with the autoencoder, it could learn to output a constant
    and match trivially. Random projections preserve distances (Johnson and Lindenstrauss 1984).
    """

    name: str
    weight: float
    projection: npt.NDArray[np.float32]


def parse(text: str) -> Wanted:
    """Raises UserError unless the text is NAME:DIM[:WEIGHT]. A name may itself contain colons."""
    parts = text.split(":")
    for at in (len(parts) - 2, len(parts) - 1):  # try the longer reading, with a weight, first
        name, numbers = ":".join(parts[:at]), parts[at:]
        try:
            dimension, weight = int(numbers[0]), float(numbers[1]) if len(numbers) > 1 else 1.0
        except (ValueError, IndexError):
            continue
        if name and dimension >= 2 and 0 < weight < np.inf:
            return Wanted(name, dimension, weight)
    raise UserError(f"--hidden-layer {text}: expected NAME:DIM or NAME:DIM:WEIGHT, DIM at least 2, WEIGHT above 0")


def project(classifier: Classifier, wanted: Sequence[Wanted], x: Array, seed: int) -> list[HiddenLayer]:
    """Draw each layer's head, scaled so that its logits have a spread of about 1 on the rows `x` (n, *shape)."""
    model = with_outputs(classifier, [layer.name for layer in wanted])
    layers = []
    for number, layer in enumerate(wanted):
        values = predict(model.SerializeToString(), x[:SAMPLED_ROWS], f"hidden layer {layer.name}", layer.name)
        if len(values) != len(x[:SAMPLED_ROWS]) or values.ndim < 2 or values.dtype.kind != "f":
            raise UserError(
                f"--hidden-layer {layer.name} is {values.dtype} {values.shape} for {len(x[:SAMPLED_ROWS])} rows; "
                "expected real numbers (n, ...): name another"
            )
        flat = values.reshape(len(values), -1).astype(np.float64)
        spread = float(np.sqrt(((flat - flat.mean(0)) ** 2).sum(1).mean()))
        if spread == 0:
            raise UserError(f"--hidden-layer {layer.name} is constant: name another")
        random = np.random.default_rng((seed, number))
        projection = random.standard_normal((flat.shape[1], layer.dimension)) / spread
        layers.append(HiddenLayer(layer.name, layer.weight, projection.astype(np.float32)))
    return layers


def with_outputs(classifier: Classifier, names: Sequence[str]) -> onnx.ModelProto:
    """The classifier's graph with its class scores as first output, followed by these tensors; raises UserError."""
    model = onnx.ModelProto()
    model.CopyFrom(classifier.network.model)
    known = {output for node in model.graph.node for output in node.output}
    scores = next(value for value in model.graph.output if value.name == classifier.network.output)
    for name in names:
        if name == scores.name or names.count(name) > 1:
            raise UserError(f"--hidden-layer {name} is repeated, or is the classifier's output itself: leave it out")
        if name not in known:
            close = ", ".join(difflib.get_close_matches(name, sorted(known), 5) or sorted(known)[-5:])
            raise UserError(f"--hidden-layer {name}: the classifier's graph has no such tensor; it has {close}")
    given = {value.name: value for value in model.graph.output}
    outputs = [scores, *(given.get(name, onnx.ValueInfoProto(name=name)) for name in names)]
    kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in outputs]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model
