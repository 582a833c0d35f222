"""Writes a network's ONNX graph node by node.

PyTorch's exporter takes 2 s of CPU time for a network, and 6 s for the first one of a process. harmgauge's own networks
write the same nodes themselves, in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

OPSET, IR_VERSION = 18, 8


class Unwritable(Exception):
    """A layer that can only be exported by PyTorch."""


@runtime_checkable
class Written(Protocol):
    """A network that writes its own graph."""

    def write(self, graph: Writer, *tensors: str) -> str:
        """Write the nodes of `forward`, in inference mode, for these tensors; returns the name of the result.

        Raises Unwritable.
        """
        ...


class Writer:
    """Collects the nodes of a graph; tensors go by name, and constants by value."""

    def __init__(self, examples: dict[str, Tensor]) -> None:
        """`examples` (n, *shape) define the graph's inputs, which take any number of rows."""
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(example.numpy().dtype), ["n", *sides])
            for name, example in examples.items()
            for sides in [example.shape[1:]]
        ]

    def __call__(self, operator: str, *inputs: str | Tensor | float | list[int], **attributes: int | list[int]) -> str:
        """Add a node; returns the name of its output."""
        name = f"{operator}_{len(self._nodes)}"
        given = [
            value if isinstance(value, str) else self._constant(f"{name}_input_{index}", value)
            for index, value in enumerate(inputs)
        ]
        node = helper.make_node(operator, given, [name], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return name

    def real(self, x: str) -> str:
        """The tensor as float32."""
        is_real = any(
            taken.name == x and taken.type.tensor_type.elem_type == TensorProto.FLOAT for taken in self._inputs
        )
        return x if is_real else self("Cast", x, to=TensorProto.FLOAT)

    def layer(self, x: str, layer: nn.Module) -> str:
        """A layer, in inference mode, of a tensor of planes or, after they are flattened, of vectors.

        Raises Unwritable.
        """
        if isinstance(layer, Written) and writes_itself(layer):
            return layer.write(self, x)
        # Not their subclasses, which may compute something else.
        kind = type(layer)
        if kind is nn.Sequential:
            for each in layer.children():
                x = self.layer(x, each)
            return x
        if kind is nn.ReLU:
            return self("Relu", x)
        if isinstance(layer, nn.Linear) and kind is nn.Linear:
            return self.linear(x, layer)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and kind in (nn.Conv2d, nn.ConvTranspose2d):
            return self.convolution(x, layer)
        if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
            return self("Flatten", x, axis=1)
        if isinstance(layer, nn.Unflatten) and layer.dim == 1 and isinstance(layer.unflattened_size, tuple):
            return self("Reshape", x, [0, *(int(side) for side in layer.unflattened_size)])
        raise Unwritable(type(layer).__name__)

    def convolution(self, x: str, layer: nn.Conv2d | nn.ConvTranspose2d) -> str:
        """A convolution with its bias. Raises Unwritable."""
        if isinstance(layer.padding, str) or layer.padding_mode != "zeros" or any(layer.output_padding):
            raise Unwritable("this padding")
        operator = "ConvTranspose" if layer.transposed else "Conv"
        weights = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
        pads = [*layer.padding, *layer.padding]
        strides, dilations = [*layer.stride], [*layer.dilation]
        return self(operator, x, *weights, strides=strides, pads=pads, dilations=dilations, group=layer.groups)

    def linear(self, x: str, layer: nn.Linear) -> str:
        return self("Gemm", x, layer.weight, layer.bias, transB=1)

    def normalised_convolution(self, x: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
        """A convolution without bias, and the normalisation after it, as one node."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        kernel, bias = fuse_conv_bn_weights(
            convolution.weight,
            None,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        assert not isinstance(convolution.padding, str)
        pads, strides = [*convolution.padding, *convolution.padding], [*convolution.stride]
        return self("Conv", x, kernel, bias, strides=strides, pads=pads, group=convolution.groups)

    def model(self, result: str, output: str, shape: Sequence[int]) -> onnx.ModelProto:
        """The graph that returns `result` (n, *shape), the output of the last node, as `output`."""
        assert self._nodes[-1].output[0] == result
        self._nodes[-1].output[0] = output
        given = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", *shape])
        graph = helper.make_graph(self._nodes, "network", self._inputs, [given], self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, name: str, value: Tensor | float | list[int]) -> str:
        if isinstance(value, Tensor):
            array = value.detach().numpy()
        else:
            array = np.array(value, np.float32 if isinstance(value, float) else np.int64)
        self._constants.append(numpy_helper.from_array(array, name))
        return name


def written(
    network: Written, examples: dict[str, Tensor], shape: Sequence[int], output: str = "logits"
) -> onnx.ModelProto:
    """The graph of a network, from inputs like `examples` (n, *sides), by name, to `output` (n, *shape).

    Raises Unwritable.
    """
    writer = Writer(examples)
    return writer.model(network.write(writer, *examples), output, shape)


def writes_itself(network: object) -> bool:
    """Whether its own class writes it: a subclass may compute something else than the class that it inherits from."""
    return "write" in vars(type(network))
