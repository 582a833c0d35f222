"""The second network of a distillation: given, a separate student, or a head on the classifier's own features."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import InputSpec
from harmgauge_models.data import npz_rows
from harmgauge_models.data.pictures import image_layout, pictures
from harmgauge_models.data.random_corruptions import RESEMBLED
from harmgauge_models.detectors.base import SecondNetwork, Task, refuse_set, register
from harmgauge_models.detectors.distilled_rows import distil_rows
from harmgauge_models.errors import UserError
from harmgauge_models.graphs.classifier import Classifier, distribution, open_classifier
from harmgauge_models.graphs.feature_maps import FeatureMap, find_feature_maps, why_none
from harmgauge_models.graphs.run import predict
from harmgauge_models.options import Options, Second

SCORE_SHARE = 0.25
"""Share of P(wrong)'s adjustment that a head's score receives.

On the shipped classifier's calibration images, a larger share ranks harmful images better but reacts more to harmless
change: for windows with 90 % harmless images of the strongest change, p is .19 without it, .09 at 0.25, .03 at 0.5.
"""

_OF_AUTOENCODER = (
    "autoencoder",
    "autoencoder_onnx",
    "hidden_layers",
    "reconstruction_weight",
    "noise",
    "shift_pixels",
    "flip",
)


def check(options: Options) -> None:
    """Raise UserError for options that are incompatible with a distilled network."""
    if options.distilled is None and options.train is None:
        raise UserError("name the training rows with --train, or a second network of your own with --distilled")
    if options.distilled is not None and (options.train or options.student):
        raise UserError("--distilled uses a network as it is; leave out --train and --student")
    if options.second not in get_args(Second):
        raise UserError(f"--second {options.second}: expected one of {', '.join(get_args(Second))}")
    if options.second == "head" and (options.distilled or options.student):
        raise UserError("--second head trains harmgauge's own head; leave out --distilled and --student")
    refuse_set(options, _OF_AUTOENCODER, "--detector adversarial-autoencoder; add that, or leave it out")


@register("distillation", check)
def make(task: Task) -> SecondNetwork:
    """Train the network that the options request, or load the given one. Raises UserError."""
    options, classifier, x = task.options, task.classifier, task.x
    if classifier.network.named and (options.student is not None or options.second == "student"):
        raise UserError(
            "a student reads one array of numbers, and this classifier has inputs by name: leave out --student and "
            "--second, for a head that reads inside the classifier"
        )
    if options.distilled is not None:
        return _given(options, options.distilled, x, classifier)
    try:
        import torch  # noqa: F401, PLC0415 - only this way needs PyTorch
    except ImportError as error:
        raise UserError(
            f"distilling requires PyTorch ({error}): pip install 'harmgauge[train]', or use --distilled"
        ) from error
    train = task.train
    assert train is not None
    wanted = "student" if options.student else options.second
    maps = () if wanted == "student" else _feature_maps(options, classifier, x)
    train_x = train.x
    outputs = predict(classifier.runnable, train_x, "soft labels", classifier.network.output)
    # A head estimates the classifier's own confidence, so the score's temperature does not apply to it
    temperature = 1.0 if wanted != "student" else options.temperature or 1.0
    soft_labels = distribution(outputs, classifier.network.gives, temperature)
    settings = {
        "classifier": npz_rows.sha256_of(options.classifier),
        "output": [classifier.network.output, classifier.network.gives],
        "temperature": temperature,
        "train": train.sha256,
    }
    if maps:
        assert task.spec is not None
        found = _head(options, classifier, maps, task.spec, x=train_x, soft_labels=soft_labels, settings=settings)
    elif wanted != "student":
        found = distil_rows(task, train_x, soft_labels, settings)
    else:
        found = _student(options, x, task.scratch, train_x=train_x, soft_labels=soft_labels, settings=settings)
    return replace(found, made={**found.made, "train": npz_rows.provenance(train), "final_loss": found.losses[-1]})


def _given(options: Options, path: Path, x: Array, classifier: Classifier) -> SecondNetwork:
    network = open_classifier(
        path, x, "distilled", options.distilled_output, options.distilled_gives, pixels=classifier.pixels
    )
    made = {"given": {"file": path.name, "sha256": npz_rows.sha256_of(path)}, "gives": network.network.gives}
    return SecondNetwork(network, made, [], "distillation")


def _feature_maps(options: Options, classifier: Classifier, x: Array) -> tuple[FeatureMap, ...]:
    """The feature maps that a head for images reads; none for a head for rows."""
    if image_layout(classifier.shape) is None:
        return ()
    maps = find_feature_maps(classifier.network, x)
    if maps:
        options.say(
            f"the second network is a head on {len(maps)} tensors of the classifier; --second student trains a "
            "separate one"
        )
    else:
        options.say(f"the second network reads no feature maps: the classifier {why_none(classifier.network)}")
    return maps


def _head(
    options: Options,
    classifier: Classifier,
    maps: tuple[FeatureMap, ...],
    spec: InputSpec,
    *,
    x: Array,
    soft_labels: npt.NDArray[np.float64],
    settings: dict[str, Any],
) -> SecondNetwork:
    from harmgauge_models.training.distil_head import Recipe, distil_head  # noqa: PLC0415 - needs PyTorch

    layout = image_layout(classifier.shape)
    assert layout is not None
    recipe = Recipe(seed=options.seed)
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
    network, losses = distil_head(
        classifier,
        maps,
        x,
        soft_labels,
        pictures=pictures(x, spec, layout),
        recipe=recipe,
        work=options.work,
        settings=settings,
        say=options.say,
    )
    made = {"head": [found.name for found in maps], "resembled_kinds": list(RESEMBLED), **asdict(recipe)}
    # At this temperature the cross-entropy is close to -ln P(the predicted class).
    return SecondNetwork(network, made, losses, "distillation", loss="xent", temperature=0.1, score_share=SCORE_SHARE)


def _student(
    options: Options,
    x: Array,
    scratch: Path,
    *,
    train_x: Array,
    soft_labels: npt.NDArray[np.float64],
    settings: dict[str, Any],
) -> SecondNetwork:
    from harmgauge_models.training.distil_student import Recipe, distil  # noqa: PLC0415 - needs PyTorch

    recipe = Recipe(seed=options.seed)
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
    graph, losses, name = distil(
        train_x, soft_labels, recipe, student=options.student, work=options.work, settings=settings
    )
    path = scratch / "student.onnx"
    path.write_bytes(graph)
    network = open_classifier(path, x, "distilled", gives="logits")
    # The Kullback-Leibler divergence would subtract the classifier's own entropy from the score.
    return SecondNetwork(network, {"student": name, **asdict(recipe)}, losses, "distillation", loss="xent")
