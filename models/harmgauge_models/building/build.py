"""`harmgauge build`: makes a bundle from any ONNX classifier."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.inputs import Preparation, Tokens
from harmgauge.bundle.manifest import ThresholdSpec
from harmgauge.bundle.row_columns import RowColumns
from harmgauge.bundle.rows import Array
from harmgauge.bundle.served_input import preparation
from harmgauge.drift.detectable import Detectable
from harmgauge.settings import Settings
from harmgauge_models import detectors
from harmgauge_models.building import chances, int8, report
from harmgauge_models.building.drift_settings import drift_settings
from harmgauge_models.building.opening import Opened, open_all
from harmgauge_models.building.probe import choose_probe
from harmgauge_models.building.score import Score, make_score
from harmgauge_models.building.threshold import threshold_of
from harmgauge_models.building.write import TOKENIZER_FILE, Draft, Int8, reserve, write
from harmgauge_models.calibration.known import check_accuracy
from harmgauge_models.calibration.sentences import sentence
from harmgauge_models.calibration.sketches import sketches_of
from harmgauge_models.data import npz_rows, samples
from harmgauge_models.data.served_rows import served_rows
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import penultimate
from harmgauge_models.graphs.run import predict_all
from harmgauge_models.options import Options, check


def build(options: Options) -> Path:
    """Train (or load) the second network, fuse, calibrate, write; returns the bundle's folder. Raises UserError."""
    check(options)
    check_accuracy(options.accuracy)
    detectors.find(options)
    drift = drift_settings(options)
    folder = reserve(options.out, options.name, options.version)
    opened = open_all(options)
    check_accuracy(options.accuracy, opened.calibration.y)
    classifier, calibration, spec = opened.classifier, opened.calibration, opened.spec
    class_names, x = opened.class_names, opened.calibration.x
    tensor = penultimate.choose(classifier.network, options.features, options.say)
    given_samples = samples.read(options.samples, opened.inputs, spec, opened.tokenizer) if options.samples else None

    with tempfile.TemporaryDirectory() as scratch:
        score = make_score(options, opened, tensor, Path(scratch))
    second = score.second
    graph, chance = chances.fitted(options, score, opened, score.graph, "the graph")
    scores, predictions = _scored(graph, x)
    threshold = threshold_of(scores, options.percentile)
    quality: dict[str, Any] = {"calibration_flagged": float((scores > threshold).mean())}
    quality |= score.quality
    drawn = report.draw(second.losses, scores, threshold, quality)
    if given_samples and spec is not None and spec.image:
        drawn |= samples.draw(given_samples, spec, graph, threshold, class_names)

    reference = penultimate.reference(graph, scores, x, tensor=tensor, seed=options.seed, say=options.say)
    reference = replace(reference, probe=choose_probe(graph, x, spec, opened.inputs))
    source = f"{len(x)} rows of {options.calibration.name}, on which no network was trained here"
    draft = Draft(
        name=options.name,
        detector=second.detector,
        score=score.parameters,
        inputs=opened.inputs,
        preparation=_preparation(opened),
        tokenizer=None if opened.tokenizer is None else opened.tokenizer.contents,
        class_names=class_names,
        threshold=ThresholdSpec(value=threshold, percentile=options.percentile, rows=len(scores), source=source),
        int8=_int8(options, score, opened, scores, source=source, tensor=tensor),
        error_probability=chance,
        features=penultimate.spec(reference, tensor),
        drift=drift(len(scores)),
        made={
            "command": options.command,
            "classifier": _classifier_origin(options.classifier),
            "classifier_gives": classifier.network.gives,
            **({} if classifier.pixels is None else {"normalised_in_graph": asdict(classifier.pixels[0])}),
            "second_network": second.made,
            "calibration": npz_rows.provenance(calibration),
            "libraries": _libraries(),
        },
        quality=quality,
        graph=graph,
        reference=reference,
        sketches=sketches_of(
            served_rows(x, opened.served), predictions, RowColumns(opened.served), seed=options.seed, say=options.say
        ),
        samples=given_samples,
        report=drawn,
    )
    write(draft, folder)
    options.say(f"threshold {threshold:.4g}: {quality['calibration_flagged']:.1%} of the calibration rows exceed it")
    options.say(sentence(chance))
    options.say(quality["judgement"]["sentence"])
    detectable = Detectable(len(scores), Settings().tolerance, options.rows_between_false_alarms)
    options.say(detectable.sentence)
    if detectable.warning is not None:
        options.say(f"warning: {detectable.warning}")
    return folder


def _preparation(opened: Opened) -> Preparation | None:
    if opened.tokenizer is not None:
        return Preparation(text=Tokens(tokenizer=TOKENIZER_FILE))
    return None if opened.spec is None else preparation(opened.spec)


def _int8(
    options: Options,
    score: Score,
    opened: Opened,
    scores: npt.NDArray[np.float64],
    *,
    source: str,
    tensor: str | None,
) -> Int8 | None:
    """Build the 8-bit graph, if requested. Raises UserError if that is impossible."""
    if not options.int8:
        return None
    try:
        return int8.build(options, score, opened, scores, source=source, tensor=tensor)
    except UserError as error:
        if score.second.network is not None:
            raise
        # There was something to quantise in the second network, but entropy has replaced it.
        options.say(f"no 8-bit graph: {error}")
        return None


def _scored(graph: bytes, x: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The scores (n,) of rows, and their predicted classes (n,)."""
    found = predict_all(graph, x, "calibration scores", ["score", "probabilities"])
    scores = found["score"].astype(np.float64)
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise UserError(f"{bad} of {len(scores)} calibration scores are not finite: check these rows and both networks")
    return scores, found["probabilities"].argmax(1)


def _classifier_origin(path: Path) -> dict[str, Any]:
    """The classifier's file and, if `train` created it, how."""
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
