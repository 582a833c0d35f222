"""Puts the normalisation of pixels in front of a classifier that takes normalised images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harmgauge_models.errors import UserError

_SUFFIX = "harmgauge/pixels"


@dataclass(frozen=True)
class Normalisation:
    """Pixels (0..255) become `pixels` x `scale`, minus `mean`, divided by `std`; one number for each channel or for
    all.
    """

    scale: float
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def take_pixels(model: onnx.ModelProto, how: Normalisation, layout: Literal["HWC", "CHW"], what: str) -> None:
    """Make the only input of `model` that of 8-bit pixels (n, *shape). Works in place.

    The numbers are computed in the input's dtype, in the order of torchvision. Raises UserError if the model takes
    whole numbers.
    """
    (value,) = model.graph.input
    tensor = value.type.tensor_type
    if tensor.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
        raise UserError(
            f"{what} takes whole numbers, so it normalises pixels itself: leave out --scale, --mean and --std"
        )
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    taken = onnx.ValueInfoProto()
    taken.CopyFrom(value)
    taken.name = f"{_SUFFIX}/{value.name}"
    taken.type.tensor_type.elem_type = TensorProto.UINT8
    steps = [("Mul", (how.scale,)), ("Sub", how.mean), ("Div", how.std)]
    used = [(operator, numbers) for operator, numbers in steps if numbers is not None]
    tensors = [f"{_SUFFIX}/{number}" for number in range(len(used))]
    nodes = [helper.make_node("Cast", [taken.name], [tensors[0]], to=tensor.elem_type)]
    for (operator, numbers), before, after in zip(used, tensors, [*tensors[1:], value.name], strict=True):
        shape = (-1,) if layout == "HWC" else (-1, 1, 1)
        constant = f"{before}/{operator}"
        model.graph.initializer.append(numpy_helper.from_array(np.array(numbers, dtype).reshape(shape), constant))
        nodes.append(helper.make_node(operator, [before, constant], [after]))
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    value.CopyFrom(taken)
