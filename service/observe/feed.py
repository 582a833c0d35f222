"""What was scored, on its way to whoever watches: kept for a moment and handed on together.

To count one score and put it into a window costs as much as hundreds at once, and that many microseconds of each
request count. Whoever looks drains first, so nobody sees that anything was kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from service.drift.state import Blocks
from service.inference.detector import Scored

log = logging.getLogger(__name__)

MAX_REQUESTS = 256
MAX_ROWS = 4096
MAX_FEATURES_BYTES = 4 * 2**20
"""No more are kept."""

_Scores = npt.NDArray[np.float32]
_Flags = npt.NDArray[np.bool_]
_Features = npt.NDArray[np.float32]

Watcher = Callable[[Blocks, _Flags], None]
"""Told of the requests' scores, in the order in which they were answered, and of the flags (n,)."""


class Feed:
    """Takes each answer that is about to be given."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers
        self._kept: list[tuple[_Scores, _Flags, _Features | None, str | None]] = []
        self._rows = 0
        self._features_bytes = 0

    def put(self, scored: Scored, client: str | None) -> None:
        """Keep one request's scores; `client` is the key of who sent it, if there is one."""
        self._kept.append((scored.scores, scored.is_adversarial, scored.features, client))
        self._rows += len(scored.scores)
        if scored.features is not None:
            self._features_bytes += scored.features.nbytes
        if len(self._kept) >= MAX_REQUESTS or self._rows >= MAX_ROWS or self._features_bytes >= MAX_FEATURES_BYTES:
            self.drain()

    def drain(self) -> None:
        """Hand on whatever is kept. A watcher that fails is logged: no request is answered worse for it."""
        if not self._kept:
            return
        kept, self._kept, self._rows, self._features_bytes = self._kept, [], 0, 0
        features = [features for _, _, features, _ in kept if features is not None]
        blocks = Blocks(
            scores=np.concatenate([scores for scores, _, _, _ in kept]),
            rows=np.array([len(scores) for scores, _, _, _ in kept], np.intp),
            clients=tuple(client for _, _, _, client in kept),
            features=np.concatenate(features) if features else None,
        )
        flags = np.concatenate([flags for _, flags, _, _ in kept])
        for watch in self._watchers:
            try:
                watch(blocks, flags)
            except Exception:
                log.exception("the scores of %d requests were not all counted", len(kept))
