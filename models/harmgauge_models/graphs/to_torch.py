"""Converts an ONNX network to a PyTorch module, for gradients through networks from any framework.

onnx2pytorch does the work. It is maintained and supports current operators; onnx2torch 1.5.15 lacks Pad of opset 18,
which PyTorch's own exporter writes. The result is compared with ONNX Runtime before use.
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
    "--autoencoder-onnx and --detector distillation require no gradients"
)


class Converted(nn.Module):
    """The frozen network, which maps raw instances (n, *shape), also real-valued ones, to the list of its outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Converted:
        """Stay in inference mode: the network passes gradients and is not trained."""
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's operators use deprecated calls of PyTorch
            outputs = self.network(x)
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def to_torch(model: onnx.ModelProto, x: Array, what: str) -> Converted:
    """Convert `model`, which has one input and is called `what` in messages; the outputs keep their order.

    Raises UserError if an operator is not supported, or if the outputs for the rows `x` differ from ONNX Runtime's.
    """
    convert = _converter()
    rows = x[:COMPARED_ROWS]
    before = model.SerializeToString()  # the converter changes its model
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = Converted(convert(model))
            converted.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stub lacks it
            with torch.no_grad():
                found = converted(torch.from_numpy(rows))
    except Exception as error:  # the converter raises any kind of error
        raise UserError(
            f"{what} cannot be converted to a PyTorch module, which gradients require: {_reason(error)}. Its "
            f"operators are {', '.join(sorted({node.op_type for node in model.graph.node}))}; {REMEDY}"
        ) from error
    session = open_session(before)
    expected = session.run(None, {session.get_inputs()[0].name: rows})
    for name, one, other in zip([value.name for value in session.get_outputs()], found, expected, strict=True):
        if not np.allclose(one.numpy(), other, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(other).max()))):
            raise UserError(
                f"{what}, converted to a PyTorch module, returns a different {name!r} from ONNX Runtime (by up to "
                f"{float(np.abs(one.numpy() - other).max()):.3g}): {REMEDY}"
            )
    return converted


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


@cache
def _converter() -> Callable[[onnx.ModelProto], nn.Module]:
    """The converter of onnx2pytorch; raises UserError if it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _load_torchvision()
            from onnx2pytorch import ConvertModel  # noqa: PLC0415 - slow to load, seldom needed
        except ImportError as error:
            raise UserError(
                f"gradients through ONNX require onnx2pytorch ({error}): pip install 'harmgauge[train]'"
            ) from error
    made: Callable[[onnx.ModelProto], nn.Module] = ConvertModel
    return made


def _load_torchvision() -> None:
    """Load torchvision, which the converter needs, even if its build does not match the installed PyTorch.

    With a CPU build of PyTorch, a CUDA build of torchvision loads none of its compiled operators, and then fails to
    describe two of them, which only object detectors use. Declaring these two avoids the failure.
    """
    try:
        import torchvision  # noqa: PLC0415
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401, PLC0415
