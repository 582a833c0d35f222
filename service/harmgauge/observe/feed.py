"""Buffers scores for a moment and passes them to metrics and drift windows in batches.

Counting one score and adding it to a window takes as long as for hundreds at once, and every microsecond of a request
matters. Every look drains the feed first, so the delay is never visible.

Of pictures it keeps a sample, which is measured later: measuring all of them would cost as much as some classifiers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.bundle.rows import Rows
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name, RequestContext
from harmgauge.inference.scorer import Scored
from harmgauge.observe.column_buffer import ColumnBuffer

log = logging.getLogger(__name__)

MAX_REQUESTS = 256
MAX_ROWS = 4096
MAX_FEATURES_BYTES = 4 * 2**20
"""Limit on the bytes of buffered features."""

MOST_ROWS_PER_SECOND = 50
NUMBERS_PER_SECOND = 500_000
"""Measuring takes about 10 ns for each number of a picture: half a percent of a core."""

INTERVAL_SECONDS = 1.0
"""How long a sample grows."""

_Scores = npt.NDArray[np.float32]
_Flags = npt.NDArray[np.bool_]
_Predictions = npt.NDArray[np.int64]
_Features = npt.NDArray[np.float32]
_Chances = npt.NDArray[np.float32]

_Kept = tuple[_Scores, _Flags, _Predictions, _Features | None, _Chances | None, Name | None, Name | None, float]

Watcher = Callable[[Blocks, _Flags, _Predictions], None]
"""Receives the requests' scores, in the order in which they were answered, the flags (n,) and the predictions (n,)."""


class Feed:
    """`put` is a listener of a scorer; its scores are passed to `watchers`, in that order, with the columns of its
    rows, if there is a buffer for them. Pictures are chosen for `sample`.
    """

    def __init__(self, *watchers: Watcher, columns: ColumnBuffer | None = None, sample: Sample | None = None) -> None:
        self.watchers = list(watchers)
        self._columns = columns
        self._sample = sample
        self._kept: list[_Kept] = []
        self._rows = 0
        self._features_bytes = 0

    def put(self, rows: AnyRows, scored: Scored, context: RequestContext) -> None:
        """Buffer the scores of one request."""
        if self._sample is not None and not isinstance(rows, NamedRows):
            self._sample.put(rows, context.client)
        is_full = self._columns is not None and self._columns.reads_rows and self._columns.put(rows)
        self._kept.append(
            (
                scored.scores,
                scored.is_adversarial,
                scored.predictions,
                scored.features,
                scored.error_probability,
                context.client,
                context.source,
                time.monotonic(),
            )
        )
        self._rows += len(scored.scores)
        if scored.features is not None:
            self._features_bytes += scored.features.nbytes
        if (
            is_full
            or len(self._kept) >= MAX_REQUESTS
            or self._rows >= MAX_ROWS
            or self._features_bytes >= MAX_FEATURES_BYTES
        ):
            self.drain()

    def drain(self) -> None:
        """Pass on everything that is buffered. A failing watcher is logged; it never affects an answer."""
        if not self._kept:
            return
        kept = self._kept
        scores, flags, predictions, features, chances, clients, sources, times = zip(*kept, strict=True)
        try:
            all_flags, all_predictions = np.concatenate(flags), np.concatenate(predictions)
            blocks = Blocks(
                scores=np.concatenate(scores),
                rows=np.array([len(own) for own in scores], np.intp),
                clients=clients,
                features=None if features[0] is None else np.concatenate(features),
                times=np.array(times),
                error_probability=None if chances[0] is None else np.concatenate(chances),
                predictions=all_predictions,
                sources=sources,
                values=None if self._columns is None else self._columns.read(predictions),
            )
        except MemoryError:  # counted later, once memory is available
            log.exception("the scores of %d requests cannot be counted yet", len(kept))
            return
        self._kept, self._rows, self._features_bytes = [], 0, 0
        if self._columns is not None:
            self._columns.clear()
        for watch in self.watchers:
            try:
                watch(blocks, all_flags, all_predictions)
            except Exception:
                log.exception("the scores of %d requests were not all counted", len(kept))


class Taken(NamedTuple):
    """Pictures (1, *shape) of k different requests, and the client of each, if it gave its name."""

    pictures: list[Rows]
    clients: list[Name | None]


class Sample:
    """At most `size` of the requests since the last `take`, all with the same chance, and one random row of each.

    The choice depends on nothing that a client sends but the number of requests and of their rows, and not on when
    within an interval they arrive: a camera with a fixed rhythm would otherwise be chosen always or never.
    """

    def __init__(self, size: int, seed: int | None = None) -> None:
        self._size = size
        self._random = Random(seed)  # noqa: S311 - no secret
        self.clear()

    @classmethod
    def of(cls, row_size: int, seed: int | None = None) -> Sample:
        """The sample of one interval, for pictures of `row_size` numbers."""
        a_second = min(MOST_ROWS_PER_SECOND, max(1, NUMBERS_PER_SECOND // row_size))
        return cls(round(a_second * INTERVAL_SECONDS), seed)

    def put(self, rows: Rows, client: Name | None) -> None:
        """Choose a picture of a request (n, *shape), n >= 1, or not (Vitter's algorithm R)."""
        self._requests += 1
        place = len(self._pictures)
        if place < self._size:
            self._pictures.append(self._one_of(rows))
            self._clients.append(client)
        elif (place := int(self._random.random() * self._requests)) < self._size:
            self._pictures[place] = self._one_of(rows)
            self._clients[place] = client

    def take(self) -> Taken:
        """Remove the chosen pictures, and begin with the next sample."""
        taken = Taken(self._pictures, self._clients)
        self.clear()
        return taken

    def clear(self) -> None:
        """Begin with the next sample."""
        self._requests = 0
        self._pictures: list[Rows] = []
        self._clients: list[Name | None] = []

    def _one_of(self, rows: Rows) -> Rows:
        if len(rows) == 1:
            return rows
        at = int(self._random.random() * len(rows))
        return rows[at : at + 1].copy()  # a view would keep all of them in memory
