"""What was scored, on its way to whoever watches: kept for a moment and handed on together.

To count one score and put it into a window costs as much as hundreds at once, and that many microseconds of each
request count. Whoever looks drains first, so nobody sees that anything was kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from service.drift.state import Blocks
from service.inference.detector import Scored

MAX_KEPT = 256
"""Requests; at most so many are handed on together."""

Watcher = Callable[[Blocks, npt.NDArray[np.bool_]], None]
"""Told of the requests' scores, in the order in which they were answered, and of the flags (n,)."""


class Feed:
    """Takes each answer that is about to be given."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers
        self._kept: list[tuple[Scored, str | None]] = []

    def put(self, scored: Scored, client: str | None) -> None:
        """Keep one request's scores; `client` is the key of who sent it, if there is one."""
        self._kept.append((scored, client))
        if len(self._kept) >= MAX_KEPT:
            self.drain()

    def drain(self) -> None:
        """Hand on whatever is kept."""
        if not self._kept:
            return
        kept, self._kept = self._kept, []
        blocks = Blocks(
            scores=np.concatenate([scored.scores for scored, _ in kept]),
            rows=np.array([len(scored.scores) for scored, _ in kept], np.intp),
            clients=tuple(client for _, client in kept),
        )
        flags = np.concatenate([scored.is_adversarial for scored, _ in kept])
        for watch in self._watchers:
            watch(blocks, flags)
