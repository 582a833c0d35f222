"""The caller that waits for an answer, as far as inference is concerned."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Progress:
    """Filled while the request is served. Times are `perf_counter`'s, None until they come.

    `rows` waited from `queued` on; the graph ran from `began` to `ended`, in `runs` runs of `batch_rows` rows in all,
    those of other requests included.
    """

    rows: int | None = None
    flagged_rows: int | None = None
    queued: float | None = None
    began: float | None = None
    ended: float | None = None
    runs: int = 0
    batch_rows: int = 0

    def waits(self, rows: int, now: float) -> None:
        self.rows, self.queued = rows, now

    def ran(self, began: float, seconds: float, batch_rows: int) -> None:
        """A run of the graph had rows of it."""
        self.began = began if self.began is None else min(self.began, began)
        self.ended = began + seconds if self.ended is None else max(self.ended, began + seconds)
        self.runs += 1
        self.batch_rows += batch_rows


def _stays() -> bool:
    return False


Name = tuple[str, str]
"""Name of a client or a source: the name of its key, "" without one, and the name that it gave itself."""


class Origin(NamedTuple):
    """Identifies a request later: its id, its route's name in metrics, the name of its key if any."""

    request_id: str = ""
    route: str = ""
    key_name: str = ""


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Waits until `deadline`, in seconds of the event loop's clock, unless `left()` is true before.

    `left` is called just before rows would take inference time, and once more before an answer counts: it must be
    cheap.
    """

    deadline: float = math.inf
    left: Callable[[], bool] = _stays
    client: Name | None = None
    """Requests of one client are not independent of each other."""
    source: Name | None = None
    """The source of the request's rows, if it is to be monitored by itself."""
    origin: Origin = NOWHERE
    holder: Hashable = None
    """Whose request it is, as far as sharing goes: a key's, or a connection's."""
    progress: Progress | None = None
    """Filled if the request's progress is wanted."""


PATIENT = RequestContext()
"""Waits for ever."""
