"""Autoencoders in front of a classifier: they map raw instances to instances of the same shape.

Scaling and layout are part of the network and so of the exported graph: the reconstruction has the raw instances' units
and layout, and is float32, not rounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import image_layout
from harmgauge_models.networks.classifiers import Standardise
from harmgauge_models.networks.writer import Writer


class Autoencoder(nn.Module):
    """Standardises, encodes, decodes, and converts back to raw units, (n, *shape) float32."""

    def __init__(self, standardise: Standardise, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.standardise = standardise
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        return self.standardise.undo(self.decoder(self.encoder(self.standardise(x))).float())

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`. Raises Unwritable."""
        code = graph.layer(self.standardise.write(graph, x), self.encoder)
        return self.standardise.write_undone(graph, graph.layer(code, self.decoder))


class ResidualBlock(nn.Module):
    """x plus two 3 x 3 convolutions of it.

    There is no batch norm, so rows of a batch never affect each other, even in training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        nn.init.zeros_(self.conv2.weight)  # each block begins as the identity, so depth costs no trainability

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.conv2(functional.relu(self.conv1(functional.relu(x))))
        return found

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`."""
        y = graph("Relu", graph.convolution(graph("Relu", x), self.conv1))
        return graph("Add", x, graph.convolution(y, self.conv2))


def convolutional(standardise: Standardise, channels: int, width: int = 48, blocks: int = 4) -> Autoencoder:
    """For images with even sides: halves the size, applies residual blocks, and restores the size.

    No path bypasses the code. Details below the training noise are smoothed away, and the smallest attacks consist only
    of such details; the rest of the image can pass, unlike with a narrow code.
    """
    encoder = nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1), *(ResidualBlock(width) for _ in range(blocks)), nn.ReLU()
    )
    return Autoencoder(standardise, encoder, nn.ConvTranspose2d(width, channels, 4, 2, 1))


def narrow(standardise: Standardise, channels: int, width: int = 64, blocks: int = 4) -> Autoencoder:
    """For images whose sides are multiples of 4: like `convolutional`, but reduces the image to a quarter of its size.

    It blocks more of a large attack, but also more of the image: it needs longer training, and agrees less with the
    classifier.
    """
    half = width // 2
    encoder = nn.Sequential(
        nn.Conv2d(channels, half, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(half, width, 4, 2, 1),
        *(ResidualBlock(width) for _ in range(blocks)),
        nn.ReLU(),
    )
    decoder = nn.Sequential(
        nn.ConvTranspose2d(width, half, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(half, channels, 4, 2, 1)
    )
    return Autoencoder(standardise, encoder, decoder)


def literature(standardise: Standardise, channels: int, height: int, width: int) -> Autoencoder:
    """The autoencoder of Vacanti and Van Looveren (2020) for CIFAR-10, for images whose sides are multiples of 8.

    Encoder conv 32, 64, 256 (4 x 4, stride 2, relu), flatten, dense 40; decoder dense 2048 (relu), reshaped to 128
    planes, transposed conv 256, 64 (4 x 4, stride 2, relu) and channels (linear).
    """
    rows, columns = height // 8, width // 8
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(64, 256, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256 * rows * columns, 40),
    )
    decoder = nn.Sequential(
        nn.Linear(40, 128 * rows * columns),
        nn.ReLU(),
        nn.Unflatten(1, (128, rows, columns)),
        nn.ConvTranspose2d(128, 256, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 64, 4, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, channels, 4, 2, 1),
    )
    return Autoencoder(standardise, encoder, decoder)


def dense(standardise: Standardise, shape: Sequence[int], hidden: int = 64) -> Autoencoder:
    """For vectors (and inputs flattened to one): a hidden layer on either side of a code half as wide as the input."""
    size = math.prod(shape)
    inside = standardise(torch.zeros(1, *shape)).shape[1:]  # small images come as planes
    code = max(2, min(hidden // 2, size // 2))
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, code))
    decoder = nn.Sequential(
        nn.ReLU(), nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, size), nn.Unflatten(1, tuple(inside))
    )
    return Autoencoder(standardise, encoder, decoder)


def default_autoencoder(x: Array) -> Autoencoder:
    """An autoencoder for instances like `x` (n, *shape), standardised by `x`.

    It is convolutional for images, in either layout, with even sides of 8 or more, and dense otherwise.
    """
    if image_layout(x.shape[1:]) is not None:
        channels, *sides = _size(x)
        if min(sides) >= 8 and not any(side % 2 for side in sides):
            return convolutional(standardise_by(x), channels)
    return dense(standardise_by(x), x.shape[1:])


def narrow_autoencoder(x: Array) -> Autoencoder:
    """`narrow` for images like `x` (n, *shape).

    Select it with `--autoencoder harmgauge_models.networks.autoencoders:narrow_autoencoder`.
    """
    return narrow(standardise_by(x), _size(x)[0])


def literature_autoencoder(x: Array) -> Autoencoder:
    """`literature` for images like `x` (n, *shape).

    Select it with `--autoencoder harmgauge_models.networks.autoencoders:literature_autoencoder`.
    """
    return literature(standardise_by(x), *_size(x))


def _size(x: Array) -> tuple[int, int, int]:
    """Channels, height and width of images."""
    first, second, third = x.shape[1:]
    return (first, second, third) if image_layout(x.shape[1:]) == "CHW" else (third, first, second)


def standardise_by(x: Array) -> Standardise:
    """Standardise images by channel, as planes, and all other instances by element."""
    layout = image_layout(x.shape[1:])
    axes = {None: (0,), "HWC": (0, 1, 2), "CHW": (0, 2, 3)}[layout]
    sample = x[np.random.default_rng(0).permutation(len(x))[:10_000]].astype(np.float64)
    mean, spread = (torch.from_numpy(f(sample, axis=axes, keepdims=True)[0]) for f in (np.mean, np.std))
    return Standardise(mean, spread, channels_last=layout == "HWC")
