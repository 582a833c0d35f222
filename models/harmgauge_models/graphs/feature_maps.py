"""The feature maps inside an ONNX classifier, for a second network to read instead of the input.

They are found in the graph itself, so classifiers from any framework work, and they are computed once: in the fused
graph the classifier and the second network share them.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnxruntime as ort
from onnx import helper

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.fuse import Network
from harmgauge_models.graphs.real_numbers import Scale, as_real, scales
from harmgauge_models.graphs.run import open_session

MOST_FEATURE_MAPS = 3
LEAST_SIDE = 2
LAYERS = {"Conv", "ConvTranspose", "FusedConv", "QLinearConv"}
"""Operators that produce feature maps; a tensor is read as a feature map only after one of these."""

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
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearLeakyRelu",
    "QLinearMul",
    "QLinearSigmoid",
    "Relu",
    "Selu",
    "Sigmoid",
    "Sum",
    "Tanh",
}
"""Operators whose output is a whole feature map, not a slice or another layout of one."""


@dataclass(frozen=True)
class FeatureMap:
    """A tensor (n, channels, height, width) of the graph, in `dtype`; an 8-bit one has a `scale`."""

    name: str
    shape: tuple[int, int, int]
    dtype: str = "float32"
    scale: Scale | None = None


def find_feature_maps(network: Network, x: Array) -> tuple[FeatureMap, ...]:
    """The last feature map at each resolution, fine to coarse, at most three (the coarsest); `x` are a few rows.

    If the finest map has the picture's resolution, the picture itself, as the first layer reads it, comes first. None
    if the network has no convolutions.
    """
    candidates = _candidates(network.model)
    if not candidates:
        return ()
    first = next(node.input[0] for node in network.model.graph.node if node.op_type in LAYERS)
    session = _session(network.model, candidates)
    tensors = session.run(candidates, {network.input: x[:2]})
    known = scales(network.model)
    by_resolution: dict[tuple[int, int], FeatureMap] = {}
    for name, tensor in zip(candidates, tensors, strict=True):
        if _readable(name, tensor, known) and min(tensor.shape[2:]) >= LEAST_SIDE:
            by_resolution[tensor.shape[2:]] = _feature_map(name, tensor, known)
    fine_to_coarse = sorted(by_resolution.values(), key=lambda tap: -tap.shape[1] * tap.shape[2])
    taps = fine_to_coarse[-MOST_FEATURE_MAPS:]
    (picture,) = _session(network.model, [first]).run([first], {network.input: x[:2]})
    if taps and _readable(first, picture, known) and picture.shape[2:] == taps[0].shape[1:]:
        taps.insert(0, _feature_map(first, picture, known))
    return tuple(taps)


def why_none(network: Network) -> str:
    """The reason why `find_feature_maps` found nothing, phrased to follow "the classifier" in a message."""
    operators = {node.op_type for node in network.model.graph.node}
    if "Scan" in operators:
        return "runs one row at a time, in a loop whose inside cannot be read"
    if operators & LAYERS:
        return (
            "has convolutions, but none that outputs maps (n, channels, height, width) in real numbers or with a scale"
        )
    if operators & {"ConvInteger", "NhwcFusedConv"}:
        return "has its convolutions in a form that hides the feature maps' scale: quantise it in QDQ form"
    return "has no convolutions"


def _readable(name: str, tensor: Array, known: dict[str, Scale]) -> bool:
    return tensor.ndim == 4 and (tensor.dtype.kind == "f" or (tensor.dtype.itemsize == 1 and name in known))


def _feature_map(name: str, tensor: Array, known: dict[str, Scale]) -> FeatureMap:
    scale = None if tensor.dtype.kind == "f" else known[name]
    return FeatureMap(name, tensor.shape[1:], str(tensor.dtype), scale)


class WithFeatureMaps:
    """A network that also outputs its internal tensors. Raises UserError if it cannot be loaded."""

    def __init__(self, network: Network, taps: tuple[str, ...], threads: int = 0) -> None:
        self.names = [*taps, network.output]
        known = scales(network.model)
        self._scales = [known.get(name) for name in self.names]
        self._input = network.input
        self._session = _session(network.model, taps, threads)

    def __call__(self, x: Array) -> list[Array]:
        """The feature maps in order, then the output, for rows `x` (n, *shape), all as real numbers in float32."""
        tensors: list[Array] = self._session.run(self.names, {self._input: x})
        return [
            as_real(tensor, None if tensor.dtype.kind == "f" else scale)
            for tensor, scale in zip(tensors, self._scales, strict=True)
        ]


def _candidates(model: onnx.ModelProto) -> list[str]:
    """Outputs of the layers that produce feature maps, in graph order."""
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
        raise UserError(
            f"the classifier is too large to read its feature maps ({error}): use --second student"
        ) from error


def expose(model: onnx.ModelProto, names: list[str] | tuple[str, ...]) -> None:
    """Add tensors to the outputs of the graph."""
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
