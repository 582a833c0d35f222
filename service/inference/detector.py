"""Scores, flags and predictions of one request, told to whoever watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.errors import DeadlinePassed, NonFiniteScore
from service.inference.batcher import Batcher
from service.inference.runtime import Rows


@dataclass(frozen=True)
class Scored:
    """Of n instances: `scores` (n,) float32, finite; `is_adversarial` (n,) bool; `predictions` (n,) int64, the index
    of the classifier's likeliest class; `probabilities` (n, classes) float32.
    """

    scores: npt.NDArray[np.float32]
    is_adversarial: npt.NDArray[np.bool_]
    predictions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]


Watcher = Callable[[Scored], None]


class Detector:
    """The one data plane behind every route. `watchers` see each answer that is about to be given, and no other."""

    def __init__(
        self, batcher: Batcher, threshold: np.float32, deadline_seconds: float, watchers: Sequence[Watcher]
    ) -> None:
        self._batcher = batcher
        self._threshold = threshold
        self._deadline_seconds = deadline_seconds
        self._watchers = watchers

    async def score(self, rows: Rows) -> Scored:
        """Score checked rows (n, *shape) in the bundle's dtype, n >= 1.

        Raises DeadlinePassed, NonFiniteScore, and what the batcher raises.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds):
                outputs = await self._batcher.run(rows)
        except TimeoutError:
            raise DeadlinePassed(f"No scores after {self._deadline_seconds:g} s; the request was dropped.") from None
        finite = np.isfinite(outputs.score)
        if not finite.all():
            # A NaN compares as "not adversarial": it must fail the request rather than pass the input.
            bad = int(np.flatnonzero(~finite)[0])
            raise NonFiniteScore(f"The score of instance {bad} is not finite; no score of this request is given.")
        scored = Scored(
            scores=outputs.score,
            is_adversarial=outputs.score > self._threshold,
            predictions=outputs.probabilities.argmax(1),
            probabilities=outputs.probabilities,
        )
        for watch in self._watchers:
            watch(scored)
        return scored
