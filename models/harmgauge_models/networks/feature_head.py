"""A second network on top of the classifier's own feature maps, for little extra compute."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from harmgauge_models.graphs.divergence import Gives
from harmgauge_models.networks.classifiers import ResidualBlock
from harmgauge_models.networks.writer import Writer

CHANNELS = 64
HIDDEN = 96
MOST_SPREADS, MOST_LOGIT = 12.0, 60.0
LEAST_P = 1e-7


class FeatureHead(nn.Module):
    """Maps feature maps, fine to coarse, and the classifier's own output to logits (n, classes): a prediction of the
    classifier's output for the undisturbed image.

    One convolution brings every map to the coarsest resolution; the results are mixed, and pass through three residual
    blocks and a hidden layer. The logits are the classifier's own times a factor that depends on that layer (the
    temperature of Guo et al. 2017, but for each input), plus a correction. During training, the hidden layer also
    predicts whether the classifier's output has changed, as an additional last column (a logit): this keeps the change
    linearly readable from the layer.

    `shapes` are the maps' shapes, (channels, height, width), and `spreads` (channels,) the spreads of their channels. A
    `bounded` head clips its inputs to MOST_SPREADS times these spreads, and logits to MOST_LOGIT, so that images on
    a different scale do not dominate its normalisation.

    Inputs: the maps (n, *shape) float32 in order, then the output (n, classes), of the kind `gives`.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int, int]],
        spreads: Sequence[Tensor],
        classes: int,
        gives: Gives,
        *,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        self.gives = gives
        self.bounded = bounded
        self.shapes = shapes
        for index, spread in enumerate(spreads):
            limit = MOST_SPREADS * torch.where(spread > 0, spread, torch.ones_like(spread)).float()
            if bounded:
                self.register_buffer(f"limit_{index}", limit[:, None, None])
        scales = [1 / torch.where(spread > 0, spread, torch.ones_like(spread)).float() for spread in spreads]
        last, *self.side = shapes[-1]
        self.reach = nn.ModuleList()
        for index, (shape, scale) in enumerate(zip(shapes[:-1], scales, strict=False)):
            stride = [max(1, round(fine / coarse)) for fine, coarse in zip(shape[1:], self.side, strict=True)]
            outputs = CHANNELS if index == len(shapes) - 2 else CHANNELS // 2
            self.reach.append(_Layer(scale, outputs, (stride[0], stride[1])))
        reached = sum(layer.outputs for layer in self.reach)  # type: ignore[misc]  # they are _Layer
        self.mix = _Layer(torch.cat([torch.ones(reached), scales[-1]]), CHANNELS, (1, 1), side=1)
        self.blocks = nn.Sequential(
            ResidualBlock(CHANNELS, CHANNELS, 1),
            ResidualBlock(CHANNELS, CHANNELS, 1, groups=2),
            ResidualBlock(CHANNELS, CHANNELS, 1, groups=2),
        )
        self.register_buffer("scale", scales[-1])
        self.hidden = nn.Linear(CHANNELS + last + 2 * classes, HIDDEN)
        self.factor = nn.Linear(HIDDEN, 1)
        self.correction = nn.Linear(HIDDEN, classes)
        self.changed = nn.Linear(HIDDEN, 1)

    def fold(self) -> None:
        """Prepare the head for export; it cannot be trained afterwards."""
        for layer in (*self.reach, self.mix):
            assert isinstance(layer, _Layer)
            layer.fold()

    def forward(self, *tensors: Tensor) -> Tensor:
        *maps, said = tensors
        said = said.float()
        if self.bounded:
            limits = [self.get_buffer(f"limit_{index}") for index in range(len(maps))]
            maps = [torch.clamp(x, -limit, limit) for x, limit in zip(maps, limits, strict=True)]
            said = said.clamp(-MOST_LOGIT, MOST_LOGIT)
        logits = said if self.gives == "logits" else torch.log(said.clamp(min=LEAST_P))
        reached = [layer(x) for layer, x in zip(self.reach, maps, strict=False)]
        # Odd sides, or fractional strides, may give a different size
        reached = [x if list(x.shape[2:]) == self.side else functional.interpolate(x, size=self.side) for x in reached]
        x = self.blocks(self.mix(torch.cat([*reached, maps[-1]], dim=1))).mean((2, 3))
        last = maps[-1].mean((2, 3)) * self.get_buffer("scale")
        described = torch.cat([x, last, logits / 10, logits.softmax(1)], dim=1).float()
        hidden = functional.relu(self.hidden(described))
        found = self.correction(hidden) + functional.softplus(self.factor(hidden)) * logits
        return torch.cat([found, self.changed(hidden)], dim=1) if self.training else found

    def write(self, graph: Writer, *tensors: str) -> str:
        """Write the nodes of `forward`, for a folded head in inference mode."""
        *maps, said = tensors
        said = graph.real(said)
        if self.bounded:
            limits = [self.get_buffer(f"limit_{index}") for index in range(len(maps))]
            maps = [graph("Min", graph("Max", x, -limit), limit) for x, limit in zip(maps, limits, strict=True)]
            said = graph("Clip", said, -MOST_LOGIT, MOST_LOGIT)
        logits = said if self.gives == "logits" else graph("Log", graph("Clip", said, LEAST_P))
        reached = []
        for layer, x, shape in zip(self.reach, maps, self.shapes, strict=False):
            assert isinstance(layer, _Layer)
            sides = layer(torch.zeros(1, *shape)).shape[2:]
            reached.append(_write_resized(graph, layer.write(graph, x), sides, self.side))
        x = self.mix.write(graph, graph("Concat", *reached, maps[-1], axis=1))
        for block in self.blocks:
            assert isinstance(block, ResidualBlock)
            x = block.write(graph, x)
        last = graph("Mul", graph("ReduceMean", maps[-1], [2, 3], keepdims=0), self.get_buffer("scale"))
        mean, sure = graph("ReduceMean", x, [2, 3], keepdims=0), graph("Softmax", logits, axis=1)
        described = graph("Concat", mean, last, graph("Div", logits, 10.0), sure, axis=1)
        hidden = graph("Relu", graph.linear(described, self.hidden))
        factor = graph("Softplus", graph.linear(hidden, self.factor))
        return graph("Add", graph.linear(hidden, self.correction), graph("Mul", factor, logits))


def _write_resized(graph: Writer, x: str, sides: Sequence[int], wanted: Sequence[int]) -> str:
    """Write the nodes of `interpolate`: they take the nearest pixel of each line and column."""
    for axis, (side, size) in enumerate(zip(sides, wanted, strict=True), start=2):
        if side != size:
            nearest = functional.interpolate(torch.arange(float(side))[None, None], size=size)[0, 0]
            x = graph("Gather", x, nearest.long(), axis=axis)
    return x


class _Layer(nn.Module):
    """Convolution, normalisation, ReLU; the weights bring the inputs' channels to one scale at no extra cost."""

    def __init__(self, scale: Tensor, outputs: int, stride: tuple[int, int], side: int = 3) -> None:
        super().__init__()
        self.outputs = outputs
        self.folded = False
        self.register_buffer("scale", scale[:, None, None])
        # From stride 3 on, patches that do not overlap; below that, one pixel around each position
        patched = max(stride) > 2
        kernel = stride if patched else (side, side)
        self.convolution = nn.Conv2d(len(scale), outputs, kernel, stride, 0 if patched else side // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def fold(self) -> None:
        """Scale the weights permanently, for export: the graph has one operation less."""
        with torch.no_grad():
            self.convolution.weight *= self.get_buffer("scale")
        self.folded = True

    def forward(self, x: Tensor) -> Tensor:
        convolution = self.convolution
        weight = convolution.weight if self.folded else convolution.weight * self.get_buffer("scale")
        x = functional.conv2d(x, weight, None, convolution.stride, convolution.padding)
        return functional.relu(self.norm(x))

    def write(self, graph: Writer, x: str) -> str:
        """Write the nodes of `forward`, for a folded layer."""
        assert self.folded
        return graph("Relu", graph.normalised_convolution(x, self.convolution, self.norm))
