"""The 8-bit graph of a bundle: its own threshold and reference, and how it compares with the float32 graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from harmgauge.bundle.manifest import Int8Spec, ThresholdSpec
from harmgauge.bundle.rows import Array
from harmgauge_models.building import chances
from harmgauge_models.building.opening import Opened
from harmgauge_models.building.probe import choose_probe
from harmgauge_models.building.score import Score
from harmgauge_models.building.threshold import threshold_of
from harmgauge_models.building.write import Int8
from harmgauge_models.calibration.sentences import sentence
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import penultimate
from harmgauge_models.graphs.inputs import missing_at
from harmgauge_models.graphs.run import accuracy, predict
from harmgauge_models.options import Options

LEAST_RANK_CORRELATION = 0.98
MOST_ACCURACY_LOST = 0.003


def build(
    options: Options,
    score: Score,
    opened: Opened,
    scores: npt.NDArray[np.float64],
    *,
    source: str,
    tensor: str | None,
) -> Int8:
    """Quantise the graph of `score`.

    `scores` are its scores of the calibration rows, `tensor` is the classifier's feature tensor. Raises UserError.
    """
    from harmgauge_models.graphs.quantise import CALIBRATION_ROWS, quantise, speedup  # noqa: PLC0415 - slow to load, seldom needed

    graph, x, y = score.graph, opened.calibration.x, opened.calibration.y
    quantised = quantise(graph, _complete(x))
    own = predict(quantised, x, "int8 scores", "score").astype(np.float64)
    if not np.isfinite(own).all():
        raise UserError("--int8: some calibration scores of the 8-bit graph are not finite; leave the option out")
    threshold = threshold_of(own, options.percentile)
    wide, narrow = (predict(model, x, "classes", "probabilities") for model in (graph, quantised))
    measured = {
        "speedup": round(speedup(graph, quantised, x), 2),
        "rank_correlation": float(spearmanr(scores, own).statistic),
        "classifier_agreement": float((wide.argmax(1) == narrow.argmax(1)).mean()),
    }
    if y is not None:
        measured |= {"classifier_accuracy_float32": accuracy(wide, y), "classifier_accuracy": accuracy(narrow, y)}
    _tell(options, measured)
    with_chance, chance = chances.fitted(options, score, opened, quantised, "the graph in 8 bits")
    options.say(f"int8: {sentence(chance)}")
    described = Int8Spec(
        error_probability=chance,
        threshold=ThresholdSpec(value=threshold, percentile=options.percentile, rows=len(own), source=source),
        calibration_rows=min(CALIBRATION_ROWS, len(x)),
        measured=measured,
    )
    reference = penultimate.reference(quantised, own, x, tensor=tensor, seed=options.seed, say=options.say)
    return Int8(
        with_chance, described, replace(reference, probe=choose_probe(quantised, x, opened.spec, opened.inputs))
    )


def _complete(x: Array) -> Array:
    """The rows without missing values, for calibrating the ranges. Raises UserError if there are none."""
    complete = x[~missing_at(x)]
    if not len(complete):
        raise UserError(
            "--int8: every calibration row has a missing value, so no ranges can be measured; leave the option out"
        )
    return complete


def _tell(options: Options, measured: dict[str, float]) -> None:
    correlation = measured["rank_correlation"]
    options.say(f"int8: {measured['speedup']:.1f} times as fast (one thread), rank correlation {correlation:.4f}")
    if correlation < LEAST_RANK_CORRELATION:
        options.say(f"warning: below {LEAST_RANK_CORRELATION}, so its scores differ from those of the float32 graph")
    lost = measured.get("classifier_accuracy_float32", 0) - measured.get("classifier_accuracy", 0)
    if lost > MOST_ACCURACY_LOST:
        options.say(f"warning: the classifier lost {lost:.2%} accuracy in int8; think twice before serving it")
