"""Makes the score of a bundle: a second network, the graph with both networks, and a judgement of the score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models import detectors
from harmgauge_models.building import judge
from harmgauge_models.building.judge import Judgement
from harmgauge_models.building.opening import Opened
from harmgauge_models.building.threshold import check_distinct
from harmgauge_models.calibration.adjusting import score_adjusted
from harmgauge_models.calibration.known import Known
from harmgauge_models.data.disturber import ByKind
from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.detectors import SecondNetwork
from harmgauge_models.detectors.entropy import entropy
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import penultimate
from harmgauge_models.graphs.classifier import Classifier, distribution
from harmgauge_models.graphs.fuse import fuse
from harmgauge_models.graphs.run import accuracy, predict
from harmgauge_models.options import Options

REPLACED = "distillation"
"""The detector that entropy may replace. It does not replace an autoencoder, which also detects attacks."""


@dataclass(frozen=True)
class Score:
    """`graph` computes the score; `parameters` is its entry in the manifest, `quality` has the measurements."""

    second: SecondNetwork
    graph: bytes
    parameters: dict[str, Any]
    quality: dict[str, Any]
    disturber: ByKind


def make_score(options: Options, opened: Opened, tensor: str | None, scratch: Path) -> Score:
    """Train or load the second network, and judge it; `tensor` is the classifier's tensor that becomes the features.

    Raises UserError.
    """
    classifier, calibration, spec = opened.classifier, opened.calibration, opened.spec
    x = calibration.x
    task = detectors.Task(options, classifier, spec, x, scratch, opened.train, opened.tokenizer)
    second = detectors.find(options).make(task)
    found = _adjusted(_fused(task, second, calibration, tensor), options, calibration)
    options.say("judging the score on disturbed calibration rows")
    second = found.second
    judged = judge.judge(found.graph, second, task.disturber, x, calibration.y, seed=options.seed)
    if judged.entropy_is_better and second.detector == REPLACED and not options.keep:
        options.say(
            "the classifier's entropy alone is better, so it becomes the score; --keep keeps the second network"
        )
        second = entropy(task, _reason(judged))
        found = _fused(task, second, calibration, tensor)
    quality = {**found.quality, "judgement": judge.table(judged, second.detector)}
    return replace(found, quality=quality)


def _fused(
    task: detectors.Task,
    second: SecondNetwork,
    calibration: Rows,
    tensor: str | None,
) -> Score:
    options, classifier, x, y = task.options, task.classifier, calibration.x, calibration.y
    outputs = predict(classifier.runnable, x, "classifier", classifier.network.output)
    if second.network is None:
        assert second.alone is not None
        fused, parameters = second.alone(), second.score
        quality = {} if y is None else {"classifier_accuracy": accuracy(outputs, y)}
    else:
        _check_pair(classifier, second.network)
        loss, temperature = options.loss or second.loss, options.temperature or second.temperature
        parameters = {"loss": loss, "temperature": temperature, **second.score}
        fused = second.finish(fuse(classifier.network, second.network.network, loss, temperature))
        others = predict(second.network.runnable, x, "second network", second.network.network.output)
        check_distinct(
            distribution(outputs, classifier.network.gives, 1.0),
            distribution(others, second.network.network.gives, 1.0),
        )
        quality = _compare(outputs, others, y)
    if tensor is not None:
        penultimate.give(fused, classifier.network, tensor)
    return Score(second, fused.SerializeToString(), parameters, quality, task.disturber)


def _adjusted(score: Score, options: Options, calibration: Rows) -> Score:
    """The score with its share of P(wrong)'s adjustment, if it has one."""
    second = score.second
    if not second.score_share:
        return score
    known = Known(calibration.x, calibration.y, options.accuracy)
    graph = score_adjusted(
        score.graph, second.score_share, score.disturber, known, seed=options.seed, what="score: hidden layer"
    )
    if graph is None:
        return score
    made = {**second.made, "score_share_of_adjustment": second.score_share}
    return replace(score, second=replace(second, made=made), graph=graph)


def _reason(judged: Judgement) -> str:
    found = judged.deciding
    return (
        "On disturbed calibration rows the classifier's entropy ranks harmed above harmless rows better "
        f"(ROC AUC {found.entropy:.3f}) than the second network did ({found.score:.3f})"
    )


def _check_pair(first: Classifier, second: Classifier) -> None:
    if first.classes != second.classes:
        raise UserError(
            f"the classifier has {first.classes} classes, the second network {second.classes}: a divergence requires "
            "the same classes in the same order"
        )
    accepted = [", ".join(taken.dtype for taken in network.inputs) for network in (first, second)]
    if accepted[0] != accepted[1]:
        raise UserError(
            f"the classifier accepts {accepted[0]}, the second network {accepted[1]}: export both for the same raw "
            "input"
        )
    names = [{taken.name for taken in network.inputs} for network in (first, second)]
    if len(names[0]) > 1 and names[0] != names[1]:
        raise UserError(
            f"the classifier has the inputs {', '.join(sorted(names[0]))}, the second network "
            f"{', '.join(sorted(names[1]))}: export both with inputs of the same names"
        )


def _compare(first: Array, second: Array, y: npt.NDArray[np.int64] | None) -> dict[str, float]:
    """The agreement of two networks' outputs (n, classes), and the accuracy of each if `y` is known."""
    compared = {"agreement": float((first.argmax(1) == second.argmax(1)).mean())}
    if y is not None:
        compared |= {"classifier_accuracy": accuracy(first, y), "second_accuracy": accuracy(second, y)}
    return compared
