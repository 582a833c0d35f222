"""`python -m models build`: a bundle from any ONNX classifier."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import arrays, int8, report, samples
from models.classifier import Classifier, distribution, fit_rows, open_classifier
from models.errors import UserError
from models.fuse import fuse
from models.images import image_layout, input_spec
from models.onnx_run import accuracy, predict
from models.options import Options, check, drift_settings
from models.pictures import pictures
from models.taps import Tap, find_taps
from models.write import Draft, class_names_for, reserve, write
from service.inference.bundle import MIN_REFERENCE_ROWS, InputSpec, ThresholdSpec

FEW_REFERENCE_ROWS = 500


Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Second:
    """The second network and how it came to be."""

    network: Classifier
    made: dict[str, Any]
    losses: list[float]


def build(options: Options) -> Path:
    """Distil (or take) the second network, fuse, calibrate, write; returns the bundle's folder. Raises UserError."""
    check(options)
    drift = drift_settings(options)
    folder = reserve(options.out, options.name, options.version)
    calibration = arrays.read(options.calibration, "calibration", MIN_REFERENCE_ROWS)
    if len(calibration.x) < FEW_REFERENCE_ROWS:
        options.say(f"warning: {len(calibration.x)} calibration rows are few; 5000 make a good reference")
    classifier = open_classifier(
        options.classifier, calibration.x, "classifier", options.classifier_output, options.classifier_gives
    )
    how = "as told" if options.classifier_gives else "found out on the calibration data; --classifier-gives overrides"
    options.say(f"the classifier gives {classifier.network.gives} of {classifier.classes} classes ({how})")
    x = fit_rows(calibration.x, classifier.dtype, classifier.shape, "the classifier")
    spec = input_spec(x, classifier.dtype)
    class_names = class_names_for(options.class_names, classifier.classes)
    given_samples = samples.read(options.samples, spec) if options.samples else None

    with tempfile.TemporaryDirectory() as scratch:
        if options.distilled:
            second = _given(options, options.distilled, x)
        else:
            second = _distilled(options, classifier, spec, x, Path(scratch))
        _check_pair(classifier, second.network)
        graph = fuse(classifier.network, second.network.network, options.loss, options.temperature).SerializeToString()
        first_outputs = predict(classifier.runnable, x, "classifier", classifier.network.output)
        second_outputs = predict(second.network.runnable, x, "second network", second.network.network.output)
    scores = _scores(graph, x)
    threshold = float(np.float32(np.percentile(scores, options.percentile)))
    quality = {"calibration_flagged": float((scores > threshold).mean())}
    quality |= _compare(first_outputs, second_outputs, calibration.y)
    drawn = report.draw(second.losses, scores, threshold, quality)
    if given_samples and spec.image:
        drawn |= samples.draw(given_samples, spec, graph, threshold, class_names)

    source = f"{len(x)} rows of {options.calibration.name}, which trained neither network"
    draft = Draft(
        name=options.name,
        loss=options.loss,
        temperature=options.temperature,
        input=spec,
        class_names=class_names,
        threshold=ThresholdSpec(value=threshold, percentile=options.percentile, rows=len(scores), source=source),
        int8=int8.build(options, graph, replace(calibration, x=x), scores, source) if options.int8 else None,
        drift=drift(len(scores)),
        made={
            "command": options.command,
            "classifier": _classifier_origin(options.classifier),
            "classifier_gives": classifier.network.gives,
            "second_network": second.made,
            "calibration": arrays.provenance(calibration),
            "libraries": _libraries(),
        },
        quality=quality,
        graph=graph,
        scores=np.sort(scores),
        samples=given_samples,
        report=drawn,
    )
    write(draft, folder)
    options.say(f"agreement with the classifier on the calibration data: {quality['agreement']:.1%}")
    options.say(f"threshold {threshold:.4g}: {quality['calibration_flagged']:.1%} of the calibration rows lie above it")
    return folder


def _given(options: Options, path: Path, x: Array) -> _Second:
    network = open_classifier(path, x, "distilled", options.distilled_output, options.distilled_gives)
    made = {"given": {"file": path.name, "sha256": arrays.sha256_of(path)}, "gives": network.network.gives}
    return _Second(network, made, [])


def _distilled(options: Options, classifier: Classifier, spec: InputSpec, x: Array, scratch: Path) -> _Second:
    try:
        from models import distil, distil_head  # noqa: PLC0415 - only this way needs PyTorch
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
    temperature = 1 if taps else options.temperature
    soft_labels = distribution(outputs, classifier.network.gives, temperature)
    settings = {
        "classifier": arrays.sha256_of(options.classifier),
        "output": [classifier.network.output, classifier.network.gives],
        "temperature": temperature,
        "train": arrays.sha256_of(train.path),
    }
    if taps:
        layout = image_layout(classifier.shape)
        assert layout is not None
        recipe = distil_head.Recipe(seed=options.seed)
        recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
        network, losses = distil_head.distil_head(
            classifier,
            taps,
            train_x,
            soft_labels,
            pictures=pictures(train_x, spec, layout),
            recipe=recipe,
            work=options.work,
            settings=settings,
        )
        made = {"head": [tap.name for tap in taps], "train": arrays.provenance(train), **asdict(recipe)}
        return _Second(network, {**made, "final_loss": losses[-1]}, losses)
    student_recipe = distil.Recipe(seed=options.seed)
    student_recipe = replace(student_recipe, epochs=options.epochs or student_recipe.epochs)
    graph, losses, name = distil.distil(
        train_x, soft_labels, student_recipe, student=options.student, work=options.work, settings=settings
    )
    path = scratch / "student.onnx"
    path.write_bytes(graph)
    network = open_classifier(path, x, "distilled", gives="logits")
    made = {"student": name, "train": arrays.provenance(train), **asdict(student_recipe), "final_loss": losses[-1]}
    return _Second(network, made, losses)


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


def _check_pair(first: Classifier, second: Classifier) -> None:
    if first.classes != second.classes:
        raise UserError(
            f"the classifier has {first.classes} classes, the second network {second.classes}: a divergence needs the "
            "same classes in the same order"
        )
    if first.dtype != second.dtype:
        raise UserError(
            f"the classifier takes {first.dtype}, the second network {second.dtype}: export both for the same raw input"
        )


def _scores(graph: bytes, x: Array) -> npt.NDArray[np.float64]:
    scores = predict(graph, x, "calibration scores", "score").astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise UserError(
            f"{bad} of {len(scores)} calibration scores are not finite: look at these rows and both networks"
        )
    return scores


def _compare(first: Array, second: Array, y: Array | None) -> dict[str, float]:
    """How far two networks' outputs (n, classes) agree, and how right each is where `y` is known."""
    compared = {"agreement": float((first.argmax(1) == second.argmax(1)).mean())}
    if y is not None:
        compared |= {"classifier_accuracy": accuracy(first, y), "second_accuracy": accuracy(second, y)}
    return compared


def _classifier_origin(path: Path) -> dict[str, Any]:
    """The classifier's file; where `train` made it, also how."""
    origin: dict[str, Any] = {"file": path.name, "sha256": arrays.sha256_of(path)}
    training = path.parent / "train.json"
    if training.is_file():
        known = json.loads(training.read_text())
        origin["training"] = {name: value for name, value in known.items() if name != "losses"}
    return origin


def _libraries() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("harmgauge", "numpy", "onnx", "onnxruntime", "scipy", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
