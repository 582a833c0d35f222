"""A shadow's results on the rows that the served bundle scored: counts, and the newest scores of both."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from harmgauge.drift.window import Window
from harmgauge.errors import InferenceFailed, NonFiniteScore, RequestError
from harmgauge.inference.scorer import Scored

log = logging.getLogger(__name__)

RECENT_ROWS = 1000

REASONS = (InferenceFailed.code, NonFiniteScore.code, RequestError.code)
"""Reasons why a row could not be scored."""


class Comparison:
    """Results since the shadow was created.

    `rows[s, t]` counts rows by flag: s = 1 if the served bundle flagged them, t = 1 if the shadow did.
    `other_class_rows` are those with different predicted classes. Rows were shed (`shed_rows`) to leave the cores to
    answers, or failed (`failed_rows`, by reason).
    """

    def __init__(self) -> None:
        self.since = datetime.now(UTC)
        self.rows = np.zeros((2, 2), np.int64)
        self.other_class_rows = 0
        self.shed_rows = 0
        self.failed_rows = dict.fromkeys(REASONS, 0)
        self._recent = Window(RECENT_ROWS, 2)
        self._failed_before = False

    def scored(self, served: Scored, shadow: Scored) -> None:
        """Record one request, as scored by both."""
        both = 2 * served.is_adversarial + shadow.is_adversarial
        self.rows += np.bincount(both, minlength=4).reshape(2, 2)
        self.other_class_rows += int(np.count_nonzero(served.predictions != shadow.predictions))
        self._recent.extend(np.stack([served.scores, shadow.scores], 1))
        self._failed_before = False

    def shed(self, rows: int) -> None:
        self.shed_rows += rows

    def failed(self, rows: int, error: Exception) -> None:
        """Record rows that could not be scored. Of consecutive failures only the first is logged."""
        code = getattr(error, "code", "")
        self.failed_rows[code if code in REASONS else RequestError.code] += rows
        if not self._failed_before:
            log.error("the shadow could not score %d rows; further failures are only counted", rows, exc_info=error)
        self._failed_before = True

    def recent(self) -> npt.NDArray[np.float64]:
        """The newest scores of the same rows, (n, 2): the served bundle's and the shadow's."""
        return self._recent.snapshot()


def rank_correlation(pairs: npt.NDArray[np.float64]) -> float | None:
    """Spearman's rank correlation of pairs (n, 2); None if there is none, because one of the two is constant."""
    if len(pairs) < 2 or (pairs == pairs[0]).all(0).any():
        return None
    return float(np.corrcoef(_ranks(pairs[:, 0]), _ranks(pairs[:, 1]))[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 0 up; ties get the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (ends - (counts + 1) / 2)[places]
    return ranks
