"""The request that waits for an answer, as seen by inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Progress:
    """Filled in while the request is served. Times are `perf_counter`'s, None until they occur.

    `rows` waited from `queued` on; the graph ran from `began` to `ended`, in `runs` runs of `batch_rows` rows in total,
    including rows of other requests.
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
        """A run of the graph included rows of the request."""
        self.began = began if self.began is None else min(self.began, began)
        self.ended = began + seconds if self.ended is None else max(self.ended, began + seconds)
        self.runs += 1
        self.batch_rows += batch_rows


def _stays() -> bool:
    return False


Name = tuple[str, str]
"""Name of a client or a source: the name of its key ("" without one), and the name that the client sent."""


class Origin(NamedTuple):
    """Identifies a request later: its id, its route's name in metrics, and the name of its key, if any."""

    request_id: str = ""
    route: str = ""
    key_name: str = ""


NOWHERE = Origin()


@dataclass(slots=True)  # one for each request: creating a frozen one takes three times as long
class RequestContext:
    """A request waits until `deadline`, in seconds of the event loop's clock, unless `left()` becomes true before that.

    `left` must be cheap: it is called just before rows would take inference time, and again before an answer counts.
    """

    deadline: float = math.inf
    left: Callable[[], bool] = _stays
    client: Name | None = None
    """Requests of one client are not independent of each other."""
    source: Name | None = None
    """The source of the request's rows, if it is monitored separately."""
    origin: Origin = NOWHERE
    holder: Hashable = None
    """The key or connection that the request belongs to when capacity is shared."""
    progress: Progress | None = None
    """Filled in if the request's progress is requested."""
    connection: Hashable = None
    """Identifies the connection, if it is known."""


PATIENT = RequestContext()
"""Waits without limit."""
