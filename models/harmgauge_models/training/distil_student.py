"""Distils a student, which learns the classifier's output from soft labels alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from harmgauge.bundle.rows import Array
from harmgauge_models.data.pictures import image_layout
from harmgauge_models.networks.classifiers import ConvolutionalStudent, DenseStudent, Standardise
from harmgauge_models.networks.export import to_onnx
from harmgauge_models.training.entry_point import own_function
from harmgauge_models.training.loop import Batch, Learner, Task, fit

MakeStudent = Callable[[Array, int], nn.Module]
"""Maps the training instances (n, *shape) and the number of classes to a module from raw instances to logits."""


@dataclass(frozen=True)
class Recipe:
    """Adam on the cross-entropy to the soft labels (their KL divergence, up to a constant)."""

    epochs: int = 50
    batch_rows: int = 128
    learning_rate: float = 1e-3
    seed: int = 0


def distil(
    x: Array,
    soft_labels: npt.NDArray[np.float64],
    recipe: Recipe,
    *,
    student: str | None,
    work: Path | None,
    settings: dict[str, Any],
) -> tuple[bytes, list[float], str]:
    """Train a student on `x` (n, *shape) and the classifier's distributions (n, classes).

    Returns the ONNX graph, the mean loss (KL divergence in nats) of each epoch, and the student's name. `student` names
    the user's own as `module:function`. With `work`, an interrupted run resumes from its checkpoint there.
    """
    torch.manual_seed(recipe.seed)
    network = _make(student)(x, soft_labels.shape[1])
    labels = torch.from_numpy(soft_labels.astype(np.float32))
    entropy = float(-(soft_labels * np.log(np.maximum(soft_labels, 1e-300))).sum(1).mean())
    name = student or type(network).__name__
    task = Task(
        name=f"distil into {name}",
        batches=lambda epoch: _batches(x, labels, recipe, epoch),
        batches_per_epoch=-(-len(x) // recipe.batch_rows),
        loss=functional.cross_entropy,
        epochs=recipe.epochs,
        settings={**settings, "student": name, "rows": len(x), **asdict(recipe)},
        bfloat16=isinstance(network, ConvolutionalStudent),
    )
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    with tempfile.TemporaryDirectory() as scratch:
        losses = fit(Learner(network, optimizer), task, (work or Path(scratch)) / "student.checkpoint")
        graph = to_onnx(network, torch.from_numpy(x[:2].copy()), Path(scratch) / "student.onnx").read_bytes()
    return graph, [loss - entropy for loss in losses], name


def default_student(x: Array, classes: int) -> nn.Module:
    """Convolutional for images of 8 x 8 or more in either layout, otherwise dense; standardised by `x`."""
    shape = x.shape[1:]
    sample = x[np.random.default_rng(0).permutation(len(x))[:10_000]].astype(np.float64)
    layout = image_layout(shape)
    if layout is not None:
        channels, height, width = shape if layout == "CHW" else (shape[2], *shape[:2])
        if min(height, width) >= 8:
            axes = (0, 2, 3) if layout == "CHW" else (0, 1, 2)
            mean, spread = sample.mean(axes, keepdims=True)[0], sample.std(axes, keepdims=True)[0]
            standardise = Standardise(torch.from_numpy(mean), torch.from_numpy(spread), channels_last=layout == "HWC")
            return ConvolutionalStudent(standardise, channels, height, width, classes)
    missing = bool(np.isnan(x).any()) if x.dtype.kind == "f" else False
    known = np.ma.masked_invalid(sample) if missing else sample
    mean, spread = (np.ma.filled(values, 0.0) for values in (known.mean(0), known.std(0)))
    standardise = Standardise(torch.from_numpy(mean), torch.from_numpy(spread), missing=missing)
    return DenseStudent(standardise, shape, classes)


def _make(student: str | None) -> MakeStudent:
    if student is None:
        return default_student
    takes = "the training instances and the number of classes and returns a torch module from raw instances to logits"
    return own_function("--student", student, takes)


def _batches(x: Array, labels: Tensor, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    order = np.random.default_rng((recipe.seed, epoch)).permutation(len(x))
    for start in range(0, len(order), recipe.batch_rows):
        rows = order[start : start + recipe.batch_rows]
        yield torch.from_numpy(x[rows]), labels[torch.from_numpy(rows)]
