"""How far a request came, for whoever wants to know where its time went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """Filled while the request is served. Moments are `perf_counter`'s, None until they come.

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
