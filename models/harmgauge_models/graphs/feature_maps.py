"""The feature maps inside an ONNX classifier, for a second network to read instead of the input.

They are found in the graph itself, so any framework's classifier will do, and computed once: in the fused graph the
classifier and the second network share them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import Network
from harmgauge_models.graphs.run import open_session

MOST_FEATURE_MAPS = 3
LEAST_SIDE = 2
LAYERS = {"Conv"}
"""What makes feature maps; a tensor is a tap only where one of these came before it."""

MAPS = LAYERS | {
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Elu",
    "Gelu",
    "HardSwish",
    "InstanceNormalization",
    "LeakyRelu",
    "MaxPool",
    "Mul",
    "PRelu",
    "Relu",
    "Selu",
    "Sigmoid",
    "Sum",
    "Tanh",
}
"""Operators whose output is a whole feature map, and not a slice or another layout of one."""


@dataclass(frozen=True)
class FeatureMap:
    """A tensor (n, channels, height, width) of the graph."""

    name: str
    shape: tuple[int, int, int]


def find_feature_maps(network: Network, x: Array) -> tuple[FeatureMap, ...]:
    """The last feature map at each resolution, fine to coarse, at most three (the coarsest); `x` are a few rows.

    Before them the picture itself, as the first layer reads it, where the finest map has its resolution. None where the
    network has no convolutions.
    """
    candidates = _candidates(network.model)
    if not candidates:
        return ()
    first = next(node.input[0] for node in network.model.graph.node if node.op_type in LAYERS)
    session = _session(network.model, candidates)
    tensors = session.run(candidates, {network.input: x[:2]})
    by_resolution: dict[tuple[int, int], FeatureMap] = {}
    for name, tensor in zip(candidates, tensors, strict=True):
        if tensor.ndim == 4 and tensor.dtype == np.float32 and min(tensor.shape[2:]) >= LEAST_SIDE:
            by_resolution[tensor.shape[2:]] = FeatureMap(name, tensor.shape[1:])
    fine_to_coarse = sorted(by_resolution.values(), key=lambda tap: -tap.shape[1] * tap.shape[2])
    taps = fine_to_coarse[-MOST_FEATURE_MAPS:]
    (picture,) = _session(network.model, [first]).run([first], {network.input: x[:2]})
    if taps and picture.ndim == 4 and picture.dtype == np.float32 and picture.shape[2:] == taps[0].shape[1:]:
        taps.insert(0, FeatureMap(first, picture.shape[1:]))
    return tuple(taps)


class WithFeatureMaps:
    """A network that gives tensors of its inside along with its output. Raises UserError where it cannot be loaded."""

    def __init__(self, network: Network, taps: tuple[str, ...], threads: int = 0) -> None:
        self.names = [*taps, network.output]
        self._input = network.input
        self._session = _session(network.model, taps, threads)

    def __call__(self, x: Array) -> list[Array]:
        """The taps in order, then the output, for rows `x` (n, *shape)."""
        tensors: list[Array] = self._session.run(self.names, {self._input: x})
        return tensors


def _candidates(model: onnx.ModelProto) -> list[str]:
    """Outputs of layers of feature maps, in the order of the graph."""
    behind_layers: set[str] = set()
    names = []
    for node in model.graph.node:
        if node.op_type in LAYERS or behind_layers.intersection(node.input):
            behind_layers.update(node.output)
            if node.op_type in MAPS:
                names.append(node.output[0])
    return names


def _session(model: onnx.ModelProto, names: list[str] | tuple[str, ...], threads: int = 0) -> ort.InferenceSession:
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    expose(tapped, names)
    try:
        return open_session(tapped.SerializeToString(), threads)
    except ValueError as error:  # protobuf's, beyond 2 GB
        raise UserError(f"the classifier is too large to read its feature maps ({error}): --second student") from error


def expose(model: onnx.ModelProto, names: list[str] | tuple[str, ...]) -> None:
    """Make tensors of the graph outputs too."""
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
