"""The networks that harmgauge trains: ResNet-32 for CIFAR-10 and students distilled from a classifier.

Each maps raw instances (in the bundle's input form) to logits (n, classes): scaling and layout are part of the network
and so of the exported graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from harmgauge_models.networks.writer import Writer

LARGEST_INT64 = 2**63 - 1


class Standardise(nn.Module):
    """Standardises raw instances to zero mean and unit spread; also converts NHWC images to NCHW planes.

    `mean` and `spread` broadcast against the raw instance; a spread of 0 (a constant column) counts as 1. With
    `missing`, NaN becomes the mean.
    """

    def __init__(self, mean: Tensor, spread: Tensor, *, channels_last: bool = False, missing: bool = False) -> None:
        super().__init__()
        self.missing = missing
        self.register_buffer("mean", mean.float())
        self.register_buffer("spread", torch.where(spread > 0, spread, torch.ones_like(spread)).float())
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        x = (x.float() - self.get_buffer("mean")) / self.get_buffer("spread")
        if self.missing:
            x = torch.where(torch.isnan(x), torch.zeros_like(x), x)
        return x.permute(0, 3, 1, 2) if self.channels_last else x

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`."""
        x = graph("Div", graph("Sub", graph.real(x), self.get_buffer("mean")), self.get_buffer("spread"))
        if self.missing:
            x = graph("Where", graph("IsNaN", x), 0.0, x)
        return graph("Transpose", x, perm=[0, 3, 1, 2]) if self.channels_last else x

    def undo(self, x: Tensor) -> Tensor:
        """The inverse: the output of `forward` in raw units and the raw layout; float32."""
        x = x.permute(0, 2, 3, 1) if self.channels_last else x
        return x * self.get_buffer("spread") + self.get_buffer("mean")

    def write_undone(self, graph: Writer, x: str) -> str:
        """Write the nodes of `undo`."""
        x = graph("Transpose", x, perm=[0, 2, 3, 1]) if self.channels_last else x
        return graph("Add", graph("Mul", x, self.get_buffer("spread")), self.get_buffer("mean"))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut without parameters (option A of He et al. 2015)."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, groups=groups, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.new_channels = outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.new_channels:
            half = self.new_channels // 2
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.new_channels - half))
        return functional.relu(x + y)

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`."""
        y = graph("Relu", graph.normalised_convolution(x, self.conv1, self.norm1))
        y = graph.normalised_convolution(y, self.conv2, self.norm2)
        if self.new_channels:
            half = self.new_channels // 2
            strides = [self.stride, self.stride]
            x = graph("Slice", x, [0, 0], [LARGEST_INT64, LARGEST_INT64], [2, 3], strides)
            x = graph("Pad", x, [0, half, 0, 0, 0, self.new_channels - half, 0, 0])
        return graph("Relu", graph("Add", x, y))


class ResNet32(nn.Module):
    """The CIFAR network of He et al. 2015 (section 4.2) with n = 5: 0.46 M parameters.

    Input (n, 32, 32, 3) uint8, output (n, classes) logits.
    """

    MEAN = (125.307, 122.961, 113.858)
    SPREAD = (62.993, 62.089, 66.705)
    """Mean and spread of the pixels of CIFAR-10's training images, by channel."""

    def __init__(self, classes: int = 10, blocks_per_stage: int = 5) -> None:
        super().__init__()
        self.standardise = Standardise(torch.tensor(self.MEAN), torch.tensor(self.SPREAD), channels_last=True)
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        blocks: list[nn.Module] = []
        inputs = 16
        for stage, outputs in enumerate((16, 32, 64)):
            for index in range(blocks_per_stage):
                blocks.append(ResidualBlock(inputs, outputs, 2 if stage and not index else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(self.standardise(x))))
        found: Tensor = self.head(self.blocks(x).mean((2, 3)))
        return found

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`."""
        x = graph("Relu", graph.normalised_convolution(self.standardise.write(graph, x), self.stem, self.norm))
        return graph.linear(graph("ReduceMean", graph.layer(x, self.blocks), [2, 3], keepdims=0), self.head)


class ConvolutionalStudent(nn.Module):
    """The distilled network from the literature for CIFAR-10 (Vacanti and Van Looveren 2020), for any image size.

    conv 256 (linear) - conv 128 (relu) - conv 64 (relu), each 4 x 4 with stride 2; flatten; dense 40; dense classes.
    """

    def __init__(self, standardise: Standardise, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        self.standardise = standardise
        self.conv1 = nn.Conv2d(channels, 256, 4, 2, 1)
        self.conv2 = nn.Conv2d(256, 128, 4, 2, 1)
        self.conv3 = nn.Conv2d(128, 64, 4, 2, 1)
        self.dense = nn.Linear(64 * (height // 8) * (width // 8), 40)
        self.head = nn.Linear(40, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.standardise(x))
        x = functional.relu(self.conv2(x))
        x = functional.relu(self.conv3(x))
        found: Tensor = self.head(self.dense(x.flatten(1)))
        return found

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`."""
        x = graph.convolution(self.standardise.write(graph, x), self.conv1)
        x = graph("Relu", graph.convolution(x, self.conv2))
        x = graph("Relu", graph.convolution(x, self.conv3))
        return graph.linear(graph.linear(graph("Flatten", x, axis=1), self.dense), self.head)


class DenseStudent(nn.Module):
    """Two hidden layers of 64 for vectors (and inputs flattened to one)."""

    def __init__(self, standardise: Standardise, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        self.standardise = standardise
        self.hidden1 = nn.Linear(math.prod(shape), 64)
        self.hidden2 = nn.Linear(64, 64)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.standardise(x).flatten(1)
        found: Tensor = self.head(functional.relu(self.hidden2(functional.relu(self.hidden1(x)))))
        return found

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`."""
        x = graph("Flatten", self.standardise.write(graph, x), axis=1)
        x = graph("Relu", graph.linear(x, self.hidden1))
        return graph.linear(graph("Relu", graph.linear(x, self.hidden2)), self.head)
