"""What was scored, on its way to whoever watches: kept for a moment and handed on together.

To count one score and put it into a window costs as much as hundreds at once, and that many microseconds of each
request count. Whoever looks drains first, so nobody sees that anything was kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from harmgauge.drift.state import Blocks
from harmgauge.inference.scorer import Scored

log = logging.getLogger(__name__)

MAX_REQUESTS = 256
MAX_ROWS = 4096
MAX_FEATURES_BYTES = 4 * 2**20
"""No more are kept."""

_Scores = npt.NDArray[np.float32]
_Flags = npt.NDArray[np.bool_]
_Predictions = npt.NDArray[np.int64]
_Features = npt.NDArray[np.float32]

Watcher = Callable[[Blocks, _Flags, _Predictions], None]
"""Told of the requests' scores, in the order in which they were answered, of the flags (n,) and predictions (n,)."""


class Feed:
    """Takes each answer that is about to be given."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers
        self._kept: list[tuple[_Scores, _Flags, _Predictions, _Features | None, str | None, float]] = []
        self._rows = 0
        self._features_bytes = 0

    def put(self, scored: Scored, client: str | None) -> None:
        """Keep one request's scores; `client` is the key of who sent it, if there is one."""
        self._kept.append(
            (scored.scores, scored.is_adversarial, scored.predictions, scored.features, client, time.monotonic())
        )
        self._rows += len(scored.scores)
        if scored.features is not None:
            self._features_bytes += scored.features.nbytes
        if len(self._kept) >= MAX_REQUESTS or self._rows >= MAX_ROWS or self._features_bytes >= MAX_FEATURES_BYTES:
            self.drain()

    def drain(self) -> None:
        """Hand on whatever is kept. A watcher that fails is logged: no request is answered worse for it."""
        if not self._kept:
            return
        kept = self._kept
        scores, flags, predictions, features, clients, times = zip(*kept, strict=True)
        try:
            blocks = Blocks(
                scores=np.concatenate(scores),
                rows=np.array([len(own) for own in scores], np.intp),
                clients=clients,
                features=None if features[0] is None else np.concatenate(features),
                times=np.array(times),
            )
            all_flags, all_predictions = np.concatenate(flags), np.concatenate(predictions)
        except MemoryError:  # counted later, when there is some again
            log.exception("the scores of %d requests cannot be counted yet", len(kept))
            return
        self._kept, self._rows, self._features_bytes = [], 0, 0
        for watch in self._watchers:
            try:
                watch(blocks, all_flags, all_predictions)
            except Exception:
                log.exception("the scores of %d requests were not all counted", len(kept))
