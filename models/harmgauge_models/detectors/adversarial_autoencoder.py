"""The second network of an adversarial autoencoder: the classifier with an autoencoder, trained here or given, in
front.
"""

from __future__ import annotations

from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from harmgauge.bundle.rows import Array
from harmgauge_models.data import npz_rows
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.detectors.base import SecondNetwork, Task, register
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import hidden_layers
from harmgauge_models.graphs.classifier import Classifier, open_classifier
from harmgauge_models.graphs.fuse import read
from harmgauge_models.graphs.fuse_autoencoder import behind, finish
from harmgauge_models.graphs.hidden_layers import HiddenLayer
from harmgauge_models.graphs.run import predict
from harmgauge_models.options import Options


def check(options: Options) -> None:
    """Raise UserError for options that are incompatible with an autoencoder."""
    if options.distilled is not None or options.student is not None or options.second != "auto":
        raise UserError("--distilled, --student and --second are for --detector distillation; leave them out")
    if options.loss not in (None, "kld"):
        raise UserError("--loss: the score of an adversarial autoencoder is a KL divergence; leave it out")
    if options.autoencoder_onnx is None and options.train is None:
        raise UserError("name the training rows with --train, or an autoencoder of your own with --autoencoder-onnx")
    if options.autoencoder_onnx is not None and (options.train or options.autoencoder):
        raise UserError("--autoencoder-onnx uses an autoencoder as it is; leave out --train and --autoencoder")
    for name in ("reconstruction_weight", "noise", "shift_pixels"):
        value = getattr(options, name)
        if not 0 <= value < inf:
            raise UserError(f"--{name.replace('_', '-')} {value}: expected 0 or more")


@register("adversarial-autoencoder", check)
def make(task: Task) -> SecondNetwork:
    """Train the autoencoder that the options request, or load the given one. Raises UserError."""
    options, classifier, x, scratch = task.options, task.classifier, task.x, task.scratch
    if classifier.network.named:
        raise UserError(
            "an autoencoder rebuilds one array of numbers, and this classifier has inputs by name: use --detector "
            "distillation"
        )
    if task.missing:
        raise UserError(
            "an autoencoder cannot rebuild missing values (NaN): use --detector distillation, or fill them in"
        )
    wanted = [hidden_layers.parse(text) for text in options.hidden_layers]
    layers = hidden_layers.project(classifier, wanted, x, options.seed)
    made: dict[str, Any] = {"hidden_layers": list(options.hidden_layers)} if wanted else {}
    if options.autoencoder_onnx is not None:
        path, losses = options.autoencoder_onnx, list[float]()
        made |= {"given": {"file": path.name, "sha256": npz_rows.sha256_of(path)}}
    else:
        assert task.train is not None
        path, losses, how = _train(options, classifier, layers, scratch, rows=task.train)
        made |= how
    autoencoder = _check(path, x)
    together = scratch / "behind.onnx"
    onnx.save_model(behind(classifier.network, autoencoder, classifier.dtype).model, str(together))
    gives = classifier.network.gives
    network = open_classifier(together, x, "classifier behind the autoencoder", classifier.network.output, gives)
    return SecondNetwork(network, made, losses, "adversarial_autoencoder", finish=partial(finish, hidden=layers))


def _train(
    options: Options, classifier: Classifier, layers: list[HiddenLayer], scratch: Path, *, rows: Rows
) -> tuple[Path, list[float], dict[str, Any]]:
    try:
        from harmgauge_models.training.autoencoder import Recipe, train  # noqa: PLC0415 - only this way needs PyTorch
    except ImportError as error:
        raise UserError(
            f"training an autoencoder requires PyTorch ({error}): pip install 'harmgauge[train]', or use "
            "--autoencoder-onnx"
        ) from error
    x = rows.x
    recipe = Recipe(
        epochs=options.epochs or Recipe.epochs,
        noise=options.noise,
        reconstruction_weight=options.reconstruction_weight,
        shift_pixels=options.shift_pixels,
        flip=options.flip,
        seed=options.seed,
    )
    settings = {
        "classifier": npz_rows.sha256_of(options.classifier),
        "output": [classifier.network.output, classifier.network.gives],
        "train": rows.sha256,
        "hidden_layers": list(options.hidden_layers),
    }
    made = train(
        x,
        classifier,
        layers,
        recipe,
        temperature=options.temperature or 1.0,
        autoencoder=options.autoencoder,
        work=options.work,
        settings=settings,
    )
    path = scratch / "autoencoder.onnx"
    path.write_bytes(made.graph)
    how = {"autoencoder": made.name, "train": npz_rows.provenance(rows), **made.recipe, "final_loss": made.losses[-1]}
    return path, made.losses, how


def _check(path: Path, x: Array) -> onnx.ModelProto:
    """The autoencoder's graph; raises UserError unless it returns finite rows of its input's shape."""
    model = read(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise UserError(f"the autoencoder {path} must have one input and one output: raw rows, their reconstruction")
    rows = x[:64]
    given = predict(path, rows, "autoencoder on calibration rows")
    if given.shape != rows.shape or given.dtype.kind != "f" or not np.isfinite(given).all():
        raise UserError(
            f"the autoencoder {path} returns {given.dtype} {given.shape} for {rows.dtype} {rows.shape}; expected "
            "finite real numbers of the same shape, in the same units"
        )
    return model
