"""The end of each request over any protocol: counted, logged and traced."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol

from harmgauge.inference.caller import Progress
from harmgauge.observe.logs import fields
from harmgauge.observe.request_summary import RequestSummary

if TYPE_CHECKING:  # an extra: most installations lack it
    from harmgauge.observe.tracing import Trace, Tracing

log = logging.getLogger("harmgauge.access")

Lines = Literal["errors", "all", "off"]


class Counters(Protocol):
    """Counters of requests."""

    def answered(self, route: str, status: int | str, seconds: float) -> None: ...
    def rejected(self, reason: str) -> None: ...


class AccessLog:
    """Counts every request, logs those selected by `lines`, and traces them if there is `tracing`.

    With `errors` or `off` and without tracing, requests need not be followed from the start: `follows_all` is false.
    """

    def __init__(self, counters: Counters, lines: Lines, tracing: Tracing | None) -> None:
        self.succeeded = counters.answered
        """Counts a request that was not followed from the start and has ended well: the usual case."""
        self._counters = counters
        self._lines = lines
        self._tracing = tracing
        self.follows_all = lines == "all" or tracing is not None

    def begin(self, headers: Iterable[tuple[bytes, bytes]], *, traced: bool) -> Entry:
        """A request has started; if it is not `traced`, it only continues the client's trace, if there is one."""
        trace = None
        if self._tracing is not None and (traced or any(name == b"traceparent" for name, _ in headers)):
            trace = self._tracing.begin(headers)
        progress = Progress() if trace is None else trace.progress
        return Entry(
            trace, progress, is_told=self._lines == "all" or (trace is not None and trace.progress is not None)
        )

    def finish(self, entry: Entry | None, answered: RequestSummary) -> None:
        """The request has ended. `entry` is None if it was not followed from the start."""
        self._counters.answered(answered.route, answered.status, answered.seconds)
        if answered.code is not None:
            self._counters.rejected(answered.code)
        elif answered.error is None and not (self._lines == "all" if entry is None else entry.is_told):
            status = answered.status
            if status == "OK" or (isinstance(status, int) and status < 400):
                return  # the usual case
        if entry is not None and entry.trace is not None:
            entry.trace.end(answered)
        if answered.failure is not None:
            self._write(logging.ERROR, entry, answered)
        elif answered.is_refused and self._lines != "off":
            self._write(logging.ERROR if answered.status in (500, "INTERNAL") else logging.WARNING, entry, answered)
        elif self._lines == "all":
            self._write(logging.INFO, entry, answered)

    def close(self, seconds: float) -> None:
        """Send the pending traces, within `seconds`."""
        if self._tracing is not None:
            self._tracing.close(seconds)

    def _write(self, level: int, entry: Entry | None, answered: RequestSummary) -> None:
        if not log.isEnabledFor(level):
            return
        progress = None if entry is None else entry.progress
        code = f" {answered.code}" if answered.code else ""
        words = f": {answered.words}" if answered.words else ""
        log.log(
            level,
            "%s %s%s in %.4f s (request %s)%s",
            answered.name,
            answered.status,
            code,
            answered.seconds,
            answered.request_id,
            words,
            exc_info=answered.failure,
            extra=fields(
                {
                    "request_id": answered.request_id,
                    **(entry.trace.ids if entry is not None and entry.trace is not None else {}),
                    "method": answered.method,
                    "route": answered.route,
                    "status": answered.status,
                    "code": answered.code,
                    "duration_seconds": round(answered.seconds, 6),
                    "rows": None if progress is None else progress.rows,
                    "key_name": answered.key_name,
                    "bundle": answered.bundle,
                }
            ),
        )


class Entry:
    """A request that is followed from its start; `is_told`: its end is logged even if it succeeds."""

    __slots__ = ("is_told", "progress", "trace")

    def __init__(self, trace: Trace | None, progress: Progress | None, *, is_told: bool) -> None:
        self.trace = trace
        self.progress = progress
        self.is_told = is_told
