"""The second network of a distillation: given, a student apart, or a head on the classifier's own features."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import arrays
from models.classifier import Classifier, distribution, fit_rows, open_classifier
from models.disturb import RESEMBLED
from models.errors import UserError
from models.images import image_layout
from models.onnx_run import predict
from models.options import Options
from models.pictures import pictures
from models.taps import Tap, find_taps
from service.inference.bundle import InputSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Distilled:
    """The network, how it came to be, and the loss of each epoch."""

    network: Classifier
    made: dict[str, Any]
    losses: list[float]


def make(options: Options, classifier: Classifier, spec: InputSpec, x: Array, scratch: Path) -> Distilled:
    """Train what `options` ask for, or take the given one; `x` (n, *shape) are calibration rows. Raises UserError."""
    if options.distilled is not None:
        return _given(options, options.distilled, x)
    try:
        import torch  # noqa: F401, PLC0415 - only this way needs PyTorch
    except ImportError as error:
        raise UserError(
            f"distilling needs PyTorch ({error}): pip install 'harmgauge[train]', or take --distilled"
        ) from error
    assert options.train is not None
    taps = _taps(options, classifier, x)
    train = arrays.read(options.train, "training", 2)
    train_x = fit_rows(train.x, classifier.dtype, classifier.shape, "the classifier")
    outputs = predict(classifier.runnable, train_x, "soft labels", classifier.network.output)
    # A head is to know how sure the classifier would be; the score's temperature is no part of that
    temperature = 1.0 if taps else options.temperature or 1.0
    soft_labels = distribution(outputs, classifier.network.gives, temperature)
    settings = {
        "classifier": arrays.sha256_of(options.classifier),
        "output": [classifier.network.output, classifier.network.gives],
        "temperature": temperature,
        "train": arrays.sha256_of(train.path),
    }
    if taps:
        found = _head(options, classifier, taps, spec, x=train_x, soft_labels=soft_labels, settings=settings)
    else:
        found = _student(options, x, scratch, train_x=train_x, soft_labels=soft_labels, settings=settings)
    return replace(found, made={**found.made, "train": arrays.provenance(train), "final_loss": found.losses[-1]})


def _given(options: Options, path: Path, x: Array) -> Distilled:
    network = open_classifier(path, x, "distilled", options.distilled_output, options.distilled_gives)
    made = {"given": {"file": path.name, "sha256": arrays.sha256_of(path)}, "gives": network.network.gives}
    return Distilled(network, made, [])


def _taps(options: Options, classifier: Classifier, x: Array) -> tuple[Tap, ...]:
    """Where a head is to read; nothing where a student is to be made. Raises UserError where no head can be."""
    if options.second == "student" or options.student:
        return ()
    pictured = image_layout(classifier.shape) is not None
    taps = find_taps(classifier.network, x) if pictured else ()
    if taps:
        options.say(
            f"the second network is a head on {len(taps)} tensors of the classifier; --second student: one apart"
        )
    elif options.second == "head":
        lacking = "has no convolutions" if pictured else f"takes rows of {classifier.shape}, no pictures"
        raise UserError(f"--second head: the classifier {lacking}; --second student makes a network apart")
    return taps


def _head(
    options: Options,
    classifier: Classifier,
    taps: tuple[Tap, ...],
    spec: InputSpec,
    *,
    x: Array,
    soft_labels: npt.NDArray[np.float64],
    settings: dict[str, Any],
) -> Distilled:
    from models.distil_head import Recipe, distil_head  # noqa: PLC0415 - needs PyTorch

    layout = image_layout(classifier.shape)
    assert layout is not None
    recipe = Recipe(seed=options.seed)
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
    network, losses = distil_head(
        classifier,
        taps,
        x,
        soft_labels,
        pictures=pictures(x, spec, layout),
        recipe=recipe,
        work=options.work,
        settings=settings,
    )
    made = {"head": [tap.name for tap in taps], "resembled_kinds": list(RESEMBLED), **asdict(recipe)}
    return Distilled(network, made, losses)


def _student(
    options: Options,
    x: Array,
    scratch: Path,
    *,
    train_x: Array,
    soft_labels: npt.NDArray[np.float64],
    settings: dict[str, Any],
) -> Distilled:
    from models.distil import Recipe, distil  # noqa: PLC0415 - needs PyTorch

    recipe = Recipe(seed=options.seed)
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
    graph, losses, name = distil(
        train_x, soft_labels, recipe, student=options.student, work=options.work, settings=settings
    )
    path = scratch / "student.onnx"
    path.write_bytes(graph)
    network = open_classifier(path, x, "distilled", gives="logits")
    return Distilled(network, {"student": name, **asdict(recipe)}, losses)
