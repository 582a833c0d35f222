"""An ONNX network as a PyTorch module, for gradients through networks from any framework.

onnx2pytorch does the work. It is kept up and knows today's operators; onnx2torch 1.5.15 knows no Pad of opset 18, which
PyTorch's own exporter writes. What it made is compared with ONNX Runtime before it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.run import open_session

COMPARED_ROWS = 32
REMEDY = (
    "export it with plain tensor operators, LinearClassifier as MatMul, Add and Softmax (trees have no gradients); "
    "--autoencoder-onnx and --detector distillation need no gradients"
)


class Converted(nn.Module):
    """The frozen network: raw instances (n, *shape), their values also as real numbers, to the list of its outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Converted:
        """Always as at inference: it is looked through, not trained."""
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's operators use calls that PyTorch is about to drop
            outputs = self.network(x)
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def to_torch(model: onnx.ModelProto, x: Array, what: str) -> Converted:
    """Convert `model`, which has one input and is called `what`; its outputs keep their order.

    Raises UserError where an operator is not known, or where the outputs for the rows `x` are not ONNX Runtime's.
    """
    convert = _converter()
    rows = x[:COMPARED_ROWS]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = Converted(convert(model))
            converted.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stub lacks it
            with torch.no_grad():
                found = converted(torch.from_numpy(rows))
    except Exception as error:  # the converter raises whatever a graph leads it to
        raise UserError(
            f"{what} cannot be turned into a PyTorch module, which gradients through it need: {_reason(error)}. Its "
            f"operators are {', '.join(sorted({node.op_type for node in model.graph.node}))}; {REMEDY}"
        ) from error
    session = open_session(model.SerializeToString())
    due = session.run(None, {session.get_inputs()[0].name: rows})
    for name, one, other in zip([value.name for value in model.graph.output], found, due, strict=True):
        if not np.allclose(one.numpy(), other, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(other).max()))):
            raise UserError(
                f"{what}, turned into a PyTorch module, gives another {name!r} than ONNX Runtime (by up to "
                f"{float(np.abs(one.numpy() - other).max()):.3g}): {REMEDY}"
            )
    return converted


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


@cache
def _converter() -> Callable[[onnx.ModelProto], nn.Module]:
    """onnx2pytorch's own; raises UserError where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _load_torchvision()
            from onnx2pytorch import ConvertModel  # noqa: PLC0415 - slow to load, seldom needed
        except ImportError as error:
            raise UserError(
                f"gradients through ONNX need onnx2pytorch ({error}): pip install 'harmgauge[train]'"
            ) from error
    made: Callable[[onnx.ModelProto], nn.Module] = ConvertModel
    return made


def _load_torchvision() -> None:
    """Load torchvision, which the converter asks for, also where its build is not for the PyTorch that is here.

    A build for CUDA beside PyTorch for CPUs loads none of its compiled operators, and then fails to describe the two of
    them that only detectors of objects use. Declared, they are there to be described.
    """
    try:
        import torchvision  # noqa: PLC0415
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401, PLC0415
