"""Simulates how many rows of changed traffic each drift detector needs to raise its alarm, with the detectors' own
mathematics.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.drift import evidence, feature_mmd, harm_evidence, ks, mmd
from harmgauge.drift.state import Blocks, DriftDetector

Float64 = npt.NDArray[np.float64]
Rows = npt.NDArray[Any]

Draw = Callable[[np.random.Generator, int], Rows]
"""Draws n rows of a kind of traffic: scores or error probabilities (n,), or features (n, d)."""

KS_STEP_ROWS = 10
"""Rows between two evaluations of `score_ks`."""

STEP_ROWS = 10
"""Rows between two evaluations of a detector that has no dedicated simulation."""

_DRAWN_AT_ONCE = 1024


def rows_to_evidence_alarm(
    reference: Float64, draw: Draw, threshold: float, *, seed: int, most_rows: int, tolerance: float = 0
) -> int:
    """Scores, one per request, until the evidence reaches the threshold; `most_rows` if it does not."""
    random = np.random.default_rng(seed)
    ranks, state = evidence.Ranks(reference, random), evidence.start(len(reference))
    null = evidence.Null.of(len(reference), tolerance)
    one = np.ones(evidence.MAX_BLOCKS, np.intp)
    for start in range(0, most_rows, _DRAWN_AT_ONCE):
        gaps = ranks.gaps(draw(random, _DRAWN_AT_ONCE))
        for at in range(0, _DRAWN_AT_ONCE, evidence.MAX_BLOCKS):
            inside = evidence.hits(gaps[at : at + evidence.MAX_BLOCKS], one, len(reference))
            state, values = evidence.bet(state, inside, one.astype(float), null)
            if values.max() >= threshold:
                return min(most_rows, start + at + int(np.argmax(values >= threshold)) + 1)
    return most_rows


def rows_to_harm_alarm(draw: Draw, bound: float, threshold: float, *, seed: int, most_rows: int) -> int:
    """Error probabilities, one per request, until the evidence that their mean exceeds `bound` reaches the threshold;
    `most_rows` if it does not.
    """
    random, wealth = np.random.default_rng(seed), np.zeros(len(harm_evidence.STAKES))
    rows, at_once = np.ones(_DRAWN_AT_ONCE, np.intp), harm_evidence.blocks_at_once(bound)
    for start in range(0, most_rows, _DRAWN_AT_ONCE):
        factors = harm_evidence.factors(draw(random, _DRAWN_AT_ONCE).astype(np.float64), bound)
        wealth, values = harm_evidence.bet(wealth, factors, rows, at_once)
        if values.max() >= threshold:
            return min(most_rows, start + int(np.argmax(values >= threshold)) + 1)
    return most_rows


def rows_to_ks_alarm(
    reference: Float64,
    before: Draw,
    draw: Draw,
    *,
    window_rows: int,
    rows_between_false_alarms: int,
    most_rows: int,
    seed: int,
) -> int:
    """Scores until `score_ks`, evaluated every KS_STEP_ROWS, raises its alarm; `most_rows` if it does not.

    The window starts full of scores from `before`. The statistic is exact, including ties: the distribution functions
    differ most at a reference score or just before the next one.
    """
    random = np.random.default_rng(seed)
    n, m = window_rows, len(reference)
    threshold = ks.statistic_threshold(n, m, ks.p_value_threshold(n, rows_between_false_alarms))
    values = np.unique(reference)
    cells = 2 * len(values) + 1

    def cell(scores: Float64) -> npt.NDArray[np.intp]:
        """The cell of each score: 0 below the first value, 1 at it, 2 between it and the second, and so on."""
        found: npt.NDArray[np.intp] = np.searchsorted(values, scores) + np.searchsorted(values, scores, "right")
        return found

    due = n * np.cumsum(np.bincount(cell(reference), minlength=cells))
    stream = cell(np.concatenate([before(random, n), draw(random, most_rows)]))
    window = np.bincount(stream[:n], minlength=cells)
    for end in range(n + KS_STEP_ROWS, len(stream) + 1, KS_STEP_ROWS):
        np.add.at(window, stream[end - KS_STEP_ROWS : end], 1)
        np.subtract.at(window, stream[end - KS_STEP_ROWS - n : end - n], 1)
        if np.abs(m * np.cumsum(window) - due).max() >= (threshold - 1e-12) * n * m:
            return end - n
    return most_rows


def rows_to_any_alarm(
    detector: DriftDetector, before: Draw, draw: Draw, *, before_rows: int, most_rows: int, seed: int
) -> int:
    """Rows until a drift detector, evaluated every STEP_ROWS, raises its alarm; `most_rows` if it does not.

    The detector is reset first, and has then seen `before_rows` rows from `before`, one per request. Rows come from
    `stream`.
    """
    random = np.random.default_rng(seed)

    detector.reset()

    async def until_alarm() -> int:
        detector.observe(_requests(before(random, before_rows)))
        await detector.state()
        for passed in range(STEP_ROWS, most_rows + 1, STEP_ROWS):
            detector.observe(_requests(draw(random, STEP_ROWS)))
            if (await detector.state()).state == "drifting":
                return passed
        return most_rows

    return asyncio.run(until_alarm())


def stream(scores: Float64, features: npt.NDArray[np.float32] | None) -> Rows:
    """Rows for `rows_to_any_alarm`: scores (n,), with features (n, d) if there are any."""
    width = 0 if features is None else features.shape[1]
    rows = np.zeros(len(scores), [("score", np.float64), ("features", np.float32, (width,))])
    rows["score"] = scores
    if features is not None:
        rows["features"] = features
    return rows


def _requests(rows: Rows) -> Blocks:
    features = rows["features"] if rows["features"].shape[1] else None
    return replace(Blocks.of(rows["score"], 1), features=features)


def rows_to_mmd_alarm(
    reference: Rows, draw: Draw, *, window_rows: int, rows_between_false_alarms: int, most_rows: int, seed: int
) -> int:
    """Rows until `feature_mmd` raises its alarm; `most_rows` if it does not.

    It tests each window as soon as possible. The change comes just after a test, which is the worst case for the delay.
    """
    random = np.random.default_rng(seed)
    plan = feature_mmd.schedule(window_rows, rows_between_false_alarms)
    for passed in range(plan.rows_between_tests, most_rows + 1, plan.rows_between_tests):
        result = mmd.permutation_test(reference, draw(random, window_rows), plan.permutations, random)
        if result.p_value <= plan.p_value:
            return passed
    return most_rows
