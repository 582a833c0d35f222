"""The second network of an adversarial autoencoder: the classifier behind an autoencoder, trained here or given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from models import arrays, hidden
from models.classifier import Classifier, fit_rows, open_classifier
from models.errors import UserError
from models.fuse import read
from models.fuse_autoencoder import behind
from models.hidden import HiddenLayer
from models.onnx_run import predict
from models.options import Options

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Front:
    """The classifier behind the autoencoder, how it came to be, and the hidden layers that the score looks at."""

    network: Classifier
    made: dict[str, Any]
    losses: list[float]
    hidden: list[HiddenLayer]


def make(options: Options, classifier: Classifier, x: Array, scratch: Path) -> Front:
    """Train the autoencoder that `options` asks for, or take the given one; `x` (n, *shape) are calibration rows."""
    wanted = [hidden.parse(text) for text in options.hidden_layers]
    layers = hidden.project(classifier, wanted, x, options.seed)
    made: dict[str, Any] = {"hidden_layers": list(options.hidden_layers)} if wanted else {}
    if options.autoencoder_onnx is not None:
        path, losses = options.autoencoder_onnx, list[float]()
        made |= {"given": {"file": path.name, "sha256": arrays.sha256_of(path)}}
    else:
        path, losses, how = _train(options, classifier, layers, scratch)
        made |= how
    autoencoder = _check(path, x)
    together = scratch / "behind.onnx"
    onnx.save_model(behind(classifier.network, autoencoder, classifier.dtype).model, str(together))
    gives = classifier.network.gives
    network = open_classifier(together, x, "classifier behind the autoencoder", classifier.network.output, gives)
    return Front(network, made, losses, layers)


def _train(
    options: Options, classifier: Classifier, layers: list[HiddenLayer], scratch: Path
) -> tuple[Path, list[float], dict[str, Any]]:
    try:
        from models.adversarial import Recipe, train  # noqa: PLC0415 - only this way needs PyTorch
    except ImportError as error:
        raise UserError(
            f"training an autoencoder needs PyTorch ({error}): pip install 'harmgauge[train]', or take "
            "--autoencoder-onnx"
        ) from error
    assert options.train is not None
    rows = arrays.read(options.train, "training", 2)
    x = fit_rows(rows.x, classifier.dtype, classifier.shape, "the classifier")
    recipe = Recipe(
        epochs=options.epochs or Recipe.epochs,
        noise=options.noise,
        reconstruction_weight=options.reconstruction_weight,
        shift_pixels=options.shift_pixels,
        flip=options.flip,
        seed=options.seed,
    )
    settings = {
        "classifier": arrays.sha256_of(options.classifier),
        "output": [classifier.network.output, classifier.network.gives],
        "train": arrays.sha256_of(rows.path),
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
    how = {"autoencoder": made.name, "train": arrays.provenance(rows), **made.recipe, "final_loss": made.losses[-1]}
    return path, made.losses, how


def _check(path: Path, x: Array) -> onnx.ModelProto:
    """The autoencoder's graph, if it gives finite rows of the shape of those that it takes; raises UserError."""
    model = read(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise UserError(f"the autoencoder {path} must have one input and one output: raw rows, their reconstruction")
    rows = x[:64]
    given = predict(path, rows, "autoencoder on calibration rows")
    if given.shape != rows.shape or given.dtype.kind != "f" or not np.isfinite(given).all():
        raise UserError(
            f"the autoencoder {path} gives {given.dtype} {given.shape} for {rows.dtype} {rows.shape}; finite real "
            "numbers of the same shape are due, in the same units"
        )
    return model
