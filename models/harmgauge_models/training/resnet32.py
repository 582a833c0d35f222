"""`harmgauge train`: ResNet-32 on CIFAR-10, from the data set to `classifier.onnx`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from harmgauge_models.data import augmentation, cifar10
from harmgauge_models.data.augmentation import Augment
from harmgauge_models.data.corruptions import corrupt_in_turn
from harmgauge_models.graphs.run import accuracy, predict
from harmgauge_models.networks.classifiers import ResNet32
from harmgauge_models.networks.export import to_onnx
from harmgauge_models.training.loop import Batch, Learner, Task, fit


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum; the learning rate rises for 5 % of the run, then falls along a cosine."""

    epochs: int = 80
    batch_rows: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0


SAMPLE_ROWS = 500
SAMPLE_SEVERITY = 5
SAMPLE_KINDS = ("gaussian_noise", "gaussian_blur", "contrast")
"""Kinds of corruption with strong harm, for the demo."""


def train(data: cifar10.Cifar10, out: Path, recipe: Recipe, command: str = "") -> dict[str, float]:
    """Train, export `classifier.onnx` and write the `.npz` files for `build`; returns the accuracies."""
    torch.manual_seed(recipe.seed)
    network = ResNet32(len(data.class_names))
    steps = len(data.train.x) // recipe.batch_rows
    optimizer = torch.optim.SGD(
        network.parameters(),
        recipe.learning_rate,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=recipe.epochs * steps,
        pct_start=0.05,
        cycle_momentum=False,
    )
    task = Task(
        name="train ResNet-32",
        batches=lambda epoch: augmented(data.train, recipe.batch_rows, (recipe.seed, epoch)),
        batches_per_epoch=steps,
        loss=functional.cross_entropy,
        epochs=recipe.epochs,
        settings={"network": "ResNet32", "rows": len(data.train.x), **asdict(recipe)},
        bfloat16=True,
    )
    losses = fit(Learner(network, optimizer, schedule), task, out / "classifier.checkpoint")

    path = to_onnx(network, torch.from_numpy(data.test.x[:2]), out / "classifier.onnx")
    for name, part in (("train", data.train), ("calibration", data.held_out), ("test", data.test)):
        np.savez(out / f"{name}.npz", x=part.x, y=part.y, allow_pickle=False)
    clean = data.test.x[:SAMPLE_ROWS]
    corrupted, kinds = corrupt_in_turn(clean, SAMPLE_SEVERITY, recipe.seed, SAMPLE_KINDS)
    np.savez(
        out / "samples.npz",
        clean=clean,
        corrupted=corrupted,
        kinds=kinds,
        y=data.test.y[:SAMPLE_ROWS],
        allow_pickle=False,
    )
    measured = {
        "held_out_accuracy": accuracy(predict(path, data.held_out.x, "held-out images"), data.held_out.y),
        "test_accuracy": accuracy(predict(path, data.test.x, "test images"), data.test.y),
    }
    report = {
        "command": command,
        "recipe": asdict(recipe),
        "class_names": data.class_names,
        "losses": losses,
        **measured,
    }
    (out / "train.json").write_text(json.dumps(report, indent=1) + "\n")
    return measured


def augmented(part: cifar10.Labelled, batch_rows: int, seed: tuple[int, int]) -> Iterator[Batch]:
    """One epoch of shuffled batches: images are padded by 4, cropped at random to 32 x 32, and flipped half the time.

    An incomplete last batch is dropped.
    """
    for rows, images in augmentation.batches(part.x, batch_rows, seed, Augment(shift_pixels=4, flip=True)):
        if len(rows) == batch_rows:
            yield torch.from_numpy(images), torch.from_numpy(part.y[rows])
