"""Trains an autoencoder in front of a frozen classifier (Vacanti and Van Looveren 2020).

The targets are the classifier's outputs for the clean instance, while the autoencoder may get a noisy one: it learns to
remove the noise before the classifier.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harmgauge.bundle.rows import Array
from harmgauge_models.data import augmentation
from harmgauge_models.data.augmentation import Augment
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier
from harmgauge_models.graphs.hidden_layers import HiddenLayer, with_outputs
from harmgauge_models.graphs.to_torch import to_torch
from harmgauge_models.networks.autoencoders import default_autoencoder, standardise_by
from harmgauge_models.networks.export import to_onnx
from harmgauge_models.training.entry_point import own_function
from harmgauge_models.training.loop import Batch, Learner, Task, device, fit
from harmgauge_models.training.matching_loss import Matching


@dataclass(frozen=True)
class Recipe:
    """Adam; the learning rate rises for 10 % of the run, then falls along a cosine.

    `noise` is the largest standard deviation of the Gaussian noise on the autoencoder's input, in units of the training
    rows' own spread; each row's is uniform between 0 and `noise`. For `shift_pixels` and `flip` see `Augment`.
    """

    epochs: int = 50
    batch_rows: int = 128
    learning_rate: float = 1e-3
    noise: float = 0.0
    reconstruction_weight: float = 0.0
    shift_pixels: int = 0
    flip: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """The autoencoder as ONNX, its name, the mean loss of each epoch, and the recipe with further provenance."""

    graph: bytes
    name: str
    losses: list[float]
    recipe: dict[str, Any]


def train(
    x: Array,
    classifier: Classifier,
    hidden: Sequence[HiddenLayer],
    recipe: Recipe,
    *,
    temperature: float,
    autoencoder: str | None,
    work: Path | None,
    settings: dict[str, Any],
) -> Trained:
    """Train an autoencoder on `x` (n, *shape); `autoencoder` names the user's own as `module:function`.

    With `work`, an interrupted run resumes from its checkpoint there. Raises UserError if the classifier cannot be
    converted to a PyTorch module, and the errors of `fit`.
    """
    Augment(recipe.shift_pixels, recipe.flip).check(x.shape[1:])
    torch.manual_seed(recipe.seed)
    network, name = _make(x, autoencoder)
    spread = standardise_by(x).get_buffer("spread")
    bfloat16 = _convolves(network)
    model = with_outputs(classifier, [layer.name for layer in hidden])
    matching = Matching(
        classifier=to_torch(model, x, "the classifier").to(device()),
        gives=classifier.network.gives,
        temperature=temperature,
        spread=spread.to(device()),
        reconstruction_weight=recipe.reconstruction_weight,
        projections=tuple(torch.from_numpy(layer.projection).to(device()) for layer in hidden),
        weights=tuple(layer.weight for layer in hidden),
        bfloat16=bfloat16,
    )
    how = {**asdict(recipe), "temperature": temperature}
    task = Task(
        name=f"train {name}",
        batches=lambda epoch: _batches(x, spread.numpy(), recipe, epoch),
        batches_per_epoch=-(-len(x) // recipe.batch_rows),
        loss=matching,
        epochs=recipe.epochs,
        settings={**settings, "autoencoder": name, "rows": len(x), **how},
        bfloat16=bfloat16,
    )
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = (work or Path(scratch)) / "autoencoder.checkpoint"
        losses = fit(_learner(network, recipe, task.epochs * task.batches_per_epoch), task, checkpoint)
        path = to_onnx(network, torch.from_numpy(x[:2].copy()), Path(scratch) / "autoencoder.onnx", "reconstruction")
        return Trained(path.read_bytes(), name, losses, how)


def _make(x: Array, autoencoder: str | None) -> tuple[nn.Module, str]:
    if autoencoder is None:
        chosen = default_autoencoder(x)
        return chosen, "convolutional" if _convolves(chosen) else "dense"
    takes = (
        "the training instances and returns a torch module from raw instances (n, *shape) to real numbers of that shape"
    )
    network: nn.Module = own_function("--autoencoder", autoencoder, takes)(x)
    try:
        with torch.no_grad():
            made = network(torch.from_numpy(x[:2]))
    except Exception as error:  # the user's code may raise anything
        raise UserError(f"--autoencoder {autoencoder} fails on rows of {x.dtype} {x.shape[1:]}: {error}") from error
    if made.shape != (2, *x.shape[1:]):
        raise UserError(f"--autoencoder {autoencoder} returns rows of {tuple(made.shape[1:])}; expected {x.shape[1:]}")
    return network, autoencoder


def _convolves(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _learner(network: nn.Module, recipe: Recipe, steps: int) -> Learner:
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    return Learner(network, optimizer, schedule)


def _batches(x: Array, spread: Array, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """Batches of the autoencoder's inputs and the clean rows."""
    random = np.random.default_rng((recipe.seed, epoch, 1))
    changes = Augment(recipe.shift_pixels, recipe.flip)
    for _, rows in augmentation.batches(x, recipe.batch_rows, (recipe.seed, epoch), changes):
        clean = torch.from_numpy(rows)
        if not recipe.noise:
            yield clean, clean
            continue
        deviation = recipe.noise * random.random((len(rows), *[1] * (x.ndim - 1)), np.float32)
        yield clean + torch.from_numpy(deviation * spread * random.standard_normal(rows.shape, np.float32)), clean
