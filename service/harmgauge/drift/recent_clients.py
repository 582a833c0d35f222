"""Remembers the clients of recent requests, so that a client that sends many similar requests counts once."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name

MEMORY_REQUESTS = 1000
"""A client is counted once among this many requests."""


class RecentClients:
    """The clients of the last MEMORY_REQUESTS requests. Requests without a client's name all count."""

    def __init__(self) -> None:
        self._recent: deque[Name | None] = deque(maxlen=MEMORY_REQUESTS)
        self._counts: Counter[Name] = Counter()

    def once_each(self, blocks: Blocks) -> Blocks:
        """Drop the requests of clients that were counted recently; remember the clients of these requests."""
        if not any(blocks.clients) and not self._counts:
            return blocks
        kept = np.array([self._is_new(client) for client in blocks.clients], bool)
        return blocks if kept.all() else blocks.only(kept)

    def _is_new(self, client: Name | None) -> bool:
        if len(self._recent) == MEMORY_REQUESTS and (oldest := self._recent[0]) is not None:
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]
        is_new = client is None or client not in self._counts
        self._recent.append(client)
        if client is not None:
            self._counts[client] += 1
        return is_new
