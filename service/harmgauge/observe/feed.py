"""Buffers scores for a moment and passes them to metrics and drift windows in batches.

Counting one score and adding it to a window takes as long as for hundreds at once, and every microsecond of a request
matters. Every look drains the feed first, so the delay is never visible.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.named_rows import AnyRows
from harmgauge.drift.state import Blocks
from harmgauge.inference.caller import Name, RequestContext
from harmgauge.inference.scorer import Scored

log = logging.getLogger(__name__)

MAX_REQUESTS = 256
MAX_ROWS = 4096
MAX_FEATURES_BYTES = 4 * 2**20
"""Limit on the bytes of buffered features."""

MAX_VALUE_ROWS = 1024
"""Limit on buffered rows of columns, which take microseconds each."""

_Scores = npt.NDArray[np.float32]
_Flags = npt.NDArray[np.bool_]
_Predictions = npt.NDArray[np.int64]
_Features = npt.NDArray[np.float32]
_Chances = npt.NDArray[np.float32]
_Values = npt.NDArray[np.float64]

_Kept = tuple[
    _Scores,
    _Flags,
    _Predictions,
    _Features | None,
    _Chances | None,
    Name | None,
    Name | None,
    float,
    _Values | None,
]

Watcher = Callable[[Blocks, _Flags, _Predictions], None]
"""Receives the requests' scores, in the order in which they were answered, the flags (n,) and the predictions (n,)."""


class Feed:
    """`put` is a listener of a scorer; its scores are passed to `watchers`, in that order, with the columns that
    `values` reads from its rows, if that is set.
    """

    def __init__(self, *watchers: Watcher, values: Callable[[AnyRows, _Predictions], _Values] | None = None) -> None:
        self.watchers = list(watchers)
        self._values = values
        self._kept: list[_Kept] = []
        self._rows = 0
        self._features_bytes = 0
        self._value_rows = 0

    def put(self, rows: AnyRows, scored: Scored, context: RequestContext) -> None:
        """Buffer the scores of one request."""
        values = None if self._values is None else self._values(rows, scored.predictions)
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
                values,
            )
        )
        self._rows += len(scored.scores)
        if scored.features is not None:
            self._features_bytes += scored.features.nbytes
        if values is not None:
            self._value_rows += len(values)
        if (
            len(self._kept) >= MAX_REQUESTS
            or self._rows >= MAX_ROWS
            or self._features_bytes >= MAX_FEATURES_BYTES
            or self._value_rows >= MAX_VALUE_ROWS
        ):
            self.drain()

    def drain(self) -> None:
        """Pass on everything that is buffered. A failing watcher is logged; it never affects an answer."""
        if not self._kept:
            return
        kept = self._kept
        scores, flags, predictions, features, chances, clients, sources, times, values = zip(*kept, strict=True)
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
                values=None if values[0] is None else np.concatenate(values),
            )
        except MemoryError:  # counted later, once memory is available
            log.exception("the scores of %d requests cannot be counted yet", len(kept))
            return
        self._kept, self._rows, self._features_bytes, self._value_rows = [], 0, 0, 0
        for watch in self.watchers:
            try:
                watch(blocks, all_flags, all_predictions)
            except Exception:
                log.exception("the scores of %d requests were not all counted", len(kept))
