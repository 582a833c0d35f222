"""Scores, flags and predictions of one request, told to whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.errors import CallerLeft, NonFiniteScore
from service.inference.batcher import Batcher
from service.inference.caller import PATIENT, Caller
from service.inference.outputs import Rows


@dataclass(frozen=True)
class Scored:
    """Of n instances: `scores` (n,) float32, finite; `is_adversarial` (n,) bool; `predictions` (n,) int64, the index
    of the classifier's likeliest class; `probabilities` (n, classes) float32; where the bundle gives them, `features`
    (n, d) float32 and `corrected_probabilities` (n, classes) float32.
    """

    scores: npt.NDArray[np.float32]
    is_adversarial: npt.NDArray[np.bool_]
    predictions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32] | None = None
    corrected_probabilities: npt.NDArray[np.float32] | None = None


Watch = Callable[[Rows, Scored, Caller], None]
"""Told of a request's rows, of what came of them, and who waits for it; on the event loop, between two requests."""


class Detector:
    """The one data plane behind every route. `watch` sees each answer that is about to be given, and no other."""

    def __init__(self, batcher: Batcher, threshold: np.float32, watch: Watch) -> None:
        self._batcher = batcher
        self._threshold = threshold
        self._watch = watch
        self.beside: Watch | None = None
        """Told of the same answers, for a shadow: must be quick, and raise nothing."""

    async def score(self, rows: Rows, caller: Caller = PATIENT) -> Scored:
        """Score checked rows (n, *shape) in the bundle's dtype, n >= 1.

        Raises NonFiniteScore, CallerLeft, and what the batcher raises.
        """
        outputs = await self._batcher.run(rows, caller)
        if caller.left():
            raise CallerLeft
        finite = np.isfinite(outputs.score)
        if not finite.all():
            # A NaN compares as "not adversarial": it must fail the request rather than pass the input.
            bad = int(np.flatnonzero(~finite)[0])
            raise NonFiniteScore(
                f"The score of instance {bad} is not finite, or a probability, and none of this request is given: the "
                "graph overflows on it. Leave it out, and look whether its values are like those of the training data."
            )
        scored = Scored(
            scores=outputs.score,
            is_adversarial=outputs.score > self._threshold,
            predictions=outputs.probabilities.argmax(1),
            probabilities=outputs.probabilities,
            features=outputs.features,
            corrected_probabilities=outputs.corrected_probabilities,
        )
        if caller.progress is not None:
            caller.progress.flagged_rows = int(np.count_nonzero(scored.is_adversarial))
        self._watch(rows, scored, caller)
        if self.beside is not None:
            self.beside(rows, scored, caller)
        return scored
