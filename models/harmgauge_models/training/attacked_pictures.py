"""Attacked pictures to train a head on: attacks of many kinds and sizes on the classifier alone."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import Pictures
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.to_torch import to_torch

ROWS = 12_000
SECONDS = 900.0
"""Approximate time for all attacks; slow classifiers get fewer attacked pictures."""

BATCH_ROWS = 128
STEPS = (1, 1, 2, 3, 5, 8, 12)
"""Numbers of gradient steps; each batch takes one of them."""

MAX_SIZES = (0.5 / 255, 14 / 255)
"""Smallest and largest change of any value, as shares of the range, of attacks that bound it."""

EUCLIDEAN_SIZES = (0.002, 0.04)
"""Smallest and largest root mean square of all changes of a picture, likewise."""


@dataclass(frozen=True)
class AttackedPictures:
    """Pictures `x` (m, *shape) in the classifier's form, made from those at the indices `rows` (m,)."""

    x: Array
    rows: npt.NDArray[np.int64]


def attack_pictures(
    classifier: Classifier, x: Array, pictures: Pictures, *, seed: int, rows: int = ROWS, seconds: float = SECONDS
) -> AttackedPictures:
    """Attack up to `rows` of the pictures `x` (n, *shape); returns those that were attacked within about `seconds`.

    Each picture gets an attack of its own: one step (Goodfellow et al. 2015) or several, with a random start or without
    (Madry et al. 2018), within a box or a ball of random size, on the cross-entropy or on the margin between the two
    highest logits (Carlini and Wagner 2017); some stop at the first step that changes the answer. Shows progress.
    Raises UserError if the classifier has no gradients.
    """
    network = _scaled(classifier, x, pictures)
    low, high = map(torch.from_numpy, pictures.limits)
    random = np.random.default_rng((seed, 22))
    generator = torch.Generator().manual_seed(seed)
    chosen = random.permutation(len(x))[:rows]
    made: list[Array] = []
    done, began = 0, time.monotonic()
    with tqdm(total=len(chosen), desc="attack the classifier", mininterval=10) as bar:
        while done < len(chosen) and (not made or time.monotonic() - began < seconds):
            given = x[chosen[done : done + BATCH_ROWS]]
            wide = torch.from_numpy(given.astype(np.float32))
            scaled = (wide - low) / (high - low)
            attacked = _attacked(network, scaled, int(random.choice(STEPS)), random, generator)
            values = (attacked * (high - low) + low).numpy()
            made.append((np.rint(values) if pictures.dtype.kind in "iu" else values).astype(pictures.dtype))
            done += len(given)
            bar.update(len(given))
    return AttackedPictures(np.concatenate(made), chosen[:done])


class _Scaled(nn.Module):
    """Logits (n, classes) of pictures in 0..1."""

    def __init__(self, network: nn.Module, pictures: Pictures, gives: str) -> None:
        super().__init__()
        low, high = map(torch.from_numpy, pictures.limits)
        self.network, self.low, self.range, self.gives = network, low, high - low, gives

    def forward(self, x: Tensor) -> Tensor:
        (output,) = self.network(x * self.range + self.low)
        return output.float() if self.gives == "logits" else torch.log(output.float().clamp(min=1e-12))


def _attacked(
    network: nn.Module, x: Tensor, steps: int, random: np.random.Generator, generator: torch.Generator
) -> Tensor:
    """Pictures (n, *shape) in 0..1, attacked by `steps` gradient steps each."""
    axes = (-1, *(1,) * (x.ndim - 1))

    def each(values: npt.NDArray[np.float64] | npt.NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(values).to(torch.float32 if values.dtype.kind == "f" else torch.bool).reshape(axes)

    n = len(x)
    in_box = each(random.random(n) < 0.7)
    box = each(_log_uniform(MAX_SIZES, n, random))
    ball = each(_log_uniform(EUCLIDEAN_SIZES, n, random) * np.sqrt(x[0].numel()))
    by_margin = each(random.random(n) < 0.5).flatten()
    stops = each(random.random(n) < 0.3)
    starts = each((random.random(n) < 0.5) & (steps > 1))
    reach = 1.0 if steps == 1 else 2.5 / steps
    with torch.no_grad():
        named = network(x).argmax(1)
    change = (2 * torch.rand(x.shape, generator=generator) - 1) * torch.where(in_box, box, ball / x[0].numel() ** 0.5)
    change = torch.where(starts, change, torch.zeros_like(change))
    running = torch.ones_like(stops)
    for _ in range(steps):
        moved = (x + change).clamp(0, 1).requires_grad_()
        logits = network(moved)
        changed = (logits.argmax(1) != named).reshape(axes)
        running = running & ~(stops & changed)
        loss = torch.where(by_margin, _margin(logits, named), functional.cross_entropy(logits, named, reduction="none"))
        (slope,) = torch.autograd.grad(loss.sum(), moved)
        size = slope.flatten(1).norm(dim=1).reshape(axes).clamp(min=1e-20)
        step = torch.where(in_box, box * slope.sign(), ball * slope / size)
        change = torch.where(running, change + reach * step, change)
        length = change.flatten(1).norm(dim=1).reshape(axes).clamp(min=1e-20)
        change = torch.where(in_box, change.clamp(-box, box), change * (ball / length).clamp(max=1))
    return (x + change).clamp(0, 1).detach()


def _log_uniform(bounds: tuple[float, float], count: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Numbers (count,) between the bounds, uniform in their logarithm."""
    low, high = bounds
    return low * (high / low) ** random.random(count)


def _margin(logits: Tensor, named: Tensor) -> Tensor:
    """How far the best other class lies above the named one (n,)."""
    of_named = logits.gather(1, named[:, None])[:, 0]
    others = logits.scatter(1, named[:, None], -torch.inf)
    return others.max(1).values - of_named


def _scaled(classifier: Classifier, x: Array, pictures: Pictures) -> nn.Module:
    """The classifier as a PyTorch module from pictures in 0..1 to logits. Raises UserError."""
    model = onnx.ModelProto()
    model.CopyFrom(classifier.network.model)
    outputs = [value for value in model.graph.output if value.name == classifier.network.output]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return _Scaled(to_torch(model, x, "the classifier"), pictures, classifier.network.gives)
