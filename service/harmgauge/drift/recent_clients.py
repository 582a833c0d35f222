"""Remembers the clients of recent requests, so that a client that sends many similar requests counts once.

Clients are remembered by a hash of their names: a saved state then has a fixed size, and no names in it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from harmgauge.drift import dumped as read
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name

MEMORY_REQUESTS = 1000
"""A client is counted once among this many requests."""

_DIGEST_BYTES = 16

_NOBODY = bytes(_DIGEST_BYTES)
"""A request without a client's name."""


class RecentClients:
    """The clients of the last MEMORY_REQUESTS requests. Requests without a client's name all count."""

    def __init__(self, recent: Iterable[bytes] = ()) -> None:
        self._recent: deque[bytes] = deque(recent, maxlen=MEMORY_REQUESTS)
        self._counts = Counter(client for client in self._recent if client != _NOBODY)

    def once_each(self, blocks: Blocks) -> Blocks:
        """Drop the requests of clients that were counted recently; remember the clients of these requests."""
        if not any(blocks.clients) and not self._counts:
            return blocks
        kept = np.array([self._is_new(client) for client in blocks.clients], bool)
        return blocks if kept.all() else blocks.only(kept)

    def dump(self) -> npt.NDArray[np.uint8]:
        """The hashes, oldest first, (requests, 16); zeros for a request without a name."""
        return np.frombuffer(b"".join(self._recent), np.uint8).reshape(-1, _DIGEST_BYTES)

    @classmethod
    def read(cls, dumped: Dumped, key: str) -> RecentClients:
        """Read what `dump` saved; nobody if the state is from a version that did not save clients.

        Raises ValueError.
        """
        if key not in dumped:
            return cls()
        found = read.rows(dumped, key, np.uint8, (_DIGEST_BYTES,))
        if len(found) > MEMORY_REQUESTS:
            raise ValueError(f"{key} is of {len(found)} requests, expected at most {MEMORY_REQUESTS}")
        return cls(row.tobytes() for row in found)

    def _is_new(self, name: Name | None) -> bool:
        if len(self._recent) == MEMORY_REQUESTS and (oldest := self._recent[0]) != _NOBODY:
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]
        client = _NOBODY if name is None else _hashed(name)
        is_new = client == _NOBODY or client not in self._counts
        self._recent.append(client)
        if client != _NOBODY:
            self._counts[client] += 1
        return is_new


def _hashed(name: Name) -> bytes:
    # Neither part contains a line break.
    return blake2b("\n".join(name).encode(), digest_size=_DIGEST_BYTES).digest()
