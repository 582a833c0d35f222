"""Turns outputs of the graph into scores, flags and predictions: in a program, and for the requests of a service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import CallerLeft, NonFiniteScore
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.caller import PATIENT, RequestContext
from harmgauge.inference.outputs import Outputs, complete, copy_rows, empty_outputs
from harmgauge.inference.providers import Providers
from harmgauge.inference.runtime import OnnxRuntime


@dataclass(slots=True)  # one for each request: creating a frozen one takes three times as long
class Scored:
    """For n instances: `scores` (n,) float32, finite; `is_adversarial` (n,) bool; `predictions` (n,) int64, the index
    of the classifier's most likely class; `probabilities` (n, classes) float32.

    If the bundle provides them: `features` (n, d) float32, `corrected_probabilities` (n, classes) float32 and
    `error_probability` (n,) float32, the probability that the prediction is wrong.
    """

    scores: npt.NDArray[np.float32]
    is_adversarial: npt.NDArray[np.bool_]
    predictions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None
    corrected_probabilities: npt.NDArray[np.float32] | None = None
    error_probability: npt.NDArray[np.float32] | None = None


def scored(outputs: Outputs, threshold: np.float32) -> Scored:
    """Flags and predictions of complete outputs. Raises NonFiniteScore."""
    assert outputs.predictions is not None
    if not outputs.all_finite and not (finite := np.isfinite(outputs.score)).all():
        # A NaN compares as "not adversarial": it must fail the request rather than pass the input.
        bad = int(np.flatnonzero(~finite)[0])
        raise NonFiniteScore(
            f"The score of instance {bad} is not finite, or one of its probabilities is not in 0 .. 1, so the whole "
            "request fails: the graph overflows on this instance, or cannot handle its missing values. Leave it out, "
            "and check whether its values are like those of the training data."
        )
    return Scored(
        scores=outputs.score,
        is_adversarial=outputs.score > threshold,
        predictions=outputs.predictions,
        probabilities=outputs.probabilities,
        features=outputs.features,
        corrected_probabilities=outputs.corrected_probabilities,
        error_probability=outputs.error_probability,
    )


def flagged(found: Scored, rows: AnyRows) -> Scored:
    """The same with the flags of rows that are flagged whatever their score."""
    if not isinstance(rows, NamedRows) or rows.flagged is None:
        return found
    return replace(found, is_adversarial=found.is_adversarial | rows.flagged)


class Scorer:
    """Scores rows with a bundle in this process, without a service. Use it from one thread at a time.

    `providers` is "auto", "cpu", "cuda" or "tensorrt". Raises BundleError if the graph does not match the manifest, and
    SettingsError if the provider is not available.

    >>> scorer = Scorer(load_bundle("models/bundles/cifar10-resnet32/3"))  # doctest: +SKIP
    >>> scorer.score(images).is_adversarial  # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle, providers: Providers = "auto") -> None:
        self._served = bundle.manifest.served
        self._threshold = bundle.threshold
        self._runtime = OnnxRuntime(bundle, providers)

    def score(self, rows: AnyRows) -> Scored:
        """Score rows (n, *shape) in the bundle's dtype, n >= 1; NaN is a missing value, if the input allows those.

        For a bundle with several inputs, strings or a free axis, `bundle.manifest.served.rows` makes such rows from
        arrays by name. Raises ValueError or NonFiniteScore.
        """
        if isinstance(self._served, NamedInputs):
            if not isinstance(rows, NamedRows):
                raise ValueError(
                    "expected rows by input name, as bundle.manifest.served.rows makes them; got one array"
                )
            if not len(rows):
                raise ValueError("expected at least one row")
            self._served.check(rows)
        else:
            _check_array(rows, self._served)
        size, outputs = self._runtime.max_batch_rows, empty_outputs(len(rows), self._runtime.shapes)
        for begin in range(0, len(rows), size):
            piece = rows[begin : begin + size]
            copy_rows(self._runtime.run(piece), 0, len(piece), outputs, begin)
        complete(outputs)
        return flagged(scored(outputs, self._threshold), rows)


def _check_array(rows: AnyRows, spec: InputSpec) -> None:
    if isinstance(rows, NamedRows) or not len(rows) or rows.dtype != spec.numpy_dtype or rows.shape[1:] != spec.shape:
        given = "rows by name" if isinstance(rows, NamedRows) else f"{rows.dtype} {rows.shape}"
        raise ValueError(
            f"expected rows of {spec.dtype} with shape (n, {', '.join(map(str, spec.shape))}), n >= 1, got {given}"
        )
    if rows.dtype.kind == "f":
        if np.isinf(rows).any():
            raise ValueError("expected finite values, got infinity")
        if not spec.missing and np.isnan(rows).any():
            raise ValueError(
                "expected finite values, got NaN; this input accepts no missing values: impute them as in the "
                "classifier's training"
            )
    for bound, beyond in ((spec.minimum, np.less), (spec.maximum, np.greater)):
        if bound is not None and (outside := beyond(rows, bound)).any():
            raise ValueError(f"expected values in {spec.minimum} .. {spec.maximum}, got {rows[outside][0]}")


Listener = Callable[[AnyRows, Scored, RequestContext], None]
"""Called on the event loop with a request's rows, their scores, and the request. Must be fast, and must not raise."""


class RequestScorer:
    """Scores the rows of requests, over any protocol.

    `listeners` are called for each answer that is about to be sent, and only for those: windows, capture, a shadow.
    """

    def __init__(self, batcher: Batcher, threshold: np.float32) -> None:
        self._batcher = batcher
        self._threshold = threshold
        self.listeners: list[Listener] = []

    async def score(self, rows: AnyRows, context: RequestContext = PATIENT) -> Scored:
        """Score validated rows, n >= 1.

        Raises NonFiniteScore, CallerLeft, and the batcher's errors.
        """
        entry = self._batcher.submit(rows, context)
        try:
            found = flagged(scored(await entry.answered, self._threshold), rows)
        except asyncio.CancelledError:
            self._batcher.withdraw(entry)
            raise
        if context.left():
            raise CallerLeft
        if context.progress is not None:
            context.progress.flagged_rows = int(np.count_nonzero(found.is_adversarial))
        for listen in self.listeners:
            listen(rows, found, context)
        return found
