"""`harmgauge build`: a bundle from any ONNX classifier."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.manifest import ThresholdSpec
from harmgauge.bundle.rows import Array
from harmgauge_models import detectors
from harmgauge_models.building import int8, report
from harmgauge_models.building.drift_settings import drift_settings
from harmgauge_models.building.opening import open_all
from harmgauge_models.building.probe import choose_probe
from harmgauge_models.building.threshold import check_distinct, threshold_of
from harmgauge_models.building.write import Draft, reserve, write
from harmgauge_models.data import npz_rows, samples
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import penultimate
from harmgauge_models.graphs.classifier import Classifier, distribution
from harmgauge_models.graphs.fuse import fuse
from harmgauge_models.graphs.run import accuracy, predict
from harmgauge_models.options import Options, check


def build(options: Options) -> Path:
    """Train (or take) the second network, fuse, calibrate, write; returns the bundle's folder. Raises UserError."""
    check(options)
    kind = detectors.find(options)
    drift = drift_settings(options)
    folder = reserve(options.out, options.name, options.version)
    opened = open_all(options)
    classifier, calibration, spec = opened.classifier, opened.calibration, opened.spec
    class_names, x = opened.class_names, opened.calibration.x
    tensor = penultimate.choose(classifier.network, options.features, options.say)
    given_samples = samples.read(options.samples, spec) if options.samples else None

    with tempfile.TemporaryDirectory() as scratch:
        second = kind.make(detectors.Task(options, classifier, spec, x, Path(scratch), opened.train))
        _check_pair(classifier, second.network)
        loss, temperature = options.loss or second.loss, options.temperature or second.temperature
        fused = second.finish(fuse(classifier.network, second.network.network, loss, temperature))
        if tensor is not None:
            penultimate.give(fused, classifier.network, tensor)
        graph = fused.SerializeToString()
        first_outputs = predict(classifier.runnable, x, "classifier", classifier.network.output)
        second_outputs = predict(second.network.runnable, x, "second network", second.network.network.output)
    check_distinct(
        distribution(first_outputs, classifier.network.gives, 1.0),
        distribution(second_outputs, second.network.network.gives, 1.0),
    )
    scores = _scores(graph, x)
    threshold = threshold_of(scores, options.percentile)
    quality = {"calibration_flagged": float((scores > threshold).mean())}
    quality |= _compare(first_outputs, second_outputs, calibration.y)
    drawn = report.draw(second.losses, scores, threshold, quality)
    if given_samples and spec.image:
        drawn |= samples.draw(given_samples, spec, graph, threshold, class_names)

    reference = penultimate.reference(graph, scores, x, tensor=tensor, seed=options.seed, say=options.say)
    reference = replace(reference, probe=choose_probe(graph, x, spec))
    source = f"{len(x)} rows of {options.calibration.name}, which trained neither network"
    draft = Draft(
        name=options.name,
        detector=second.detector,
        score={"loss": loss, "temperature": temperature, **second.score},
        input=spec,
        class_names=class_names,
        threshold=ThresholdSpec(value=threshold, percentile=options.percentile, rows=len(scores), source=source),
        int8=int8.build(options, graph, calibration, scores, spec=spec, source=source, tensor=tensor)
        if options.int8
        else None,
        features=penultimate.spec(reference, tensor),
        drift=drift(len(scores)),
        made={
            "command": options.command,
            "classifier": _classifier_origin(options.classifier),
            "classifier_gives": classifier.network.gives,
            "second_network": second.made,
            "calibration": npz_rows.provenance(calibration),
            "libraries": _libraries(),
        },
        quality=quality,
        graph=graph,
        reference=reference,
        samples=given_samples,
        report=drawn,
    )
    write(draft, folder)
    options.say(f"agreement with the classifier on the calibration data: {quality['agreement']:.1%}")
    options.say(f"threshold {threshold:.4g}: {quality['calibration_flagged']:.1%} of the calibration rows lie above it")
    return folder


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
    origin: dict[str, Any] = {"file": path.name, "sha256": npz_rows.sha256_of(path)}
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
