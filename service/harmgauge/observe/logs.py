"""Logging of the service: one line per event, on standard error, as text or as JSON.

Clients have little influence on it: the number of warnings per minute is bounded, control characters are escaped, and
an exception that a request raised is logged without its message, which may quote the body.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

LOG_SECONDS = 60.0


class RateLimitedWarning:
    """Logs the same warning at most once a minute."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._next: dict[str, float] = {}

    def warn(self, message: str, *arguments: object) -> None:
        now = time.monotonic()
        if now >= self._next.get(message, 0.0):
            self._next[message] = now + LOG_SECONDS
            self._log.warning(message, *arguments)


LINES_PER_MINUTE = 60
"""Limit on the warnings and errors per minute, for each logger and level: a flood of refused requests must not fill a
disk.
"""

_FEWER_LINES_PER_MINUTE = {"opentelemetry": 2}
"""An unreachable collector is reported over and over."""

_QUOTING = ("uvicorn", "asyncio", "grpc")
"""Other libraries' loggers that may quote an exception raised by a request."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

LogFormat = Literal["text", "json"]


def configure(level: str, form: LogFormat) -> None:
    """Set up logging for the process; uvicorn's own lines, and Python's warnings, use it as well."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(RateLimitFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    if form == "json":  # an error that ends the process or a thread is logged as well
        log = logging.getLogger("harmgauge")
        sys.excepthook = lambda kind, error, _: log.critical(
            "unhandled %s: the process ends", kind.__name__, exc_info=error
        )
        threading.excepthook = lambda failed: log.critical(
            "unhandled exception: a thread ends", exc_info=failed.exc_value
        )


def fields(of: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """A log record's structured values, passed as logging's `extra`; None values are omitted."""
    return {"fields": {name: value for name, value in of.items() if value is not None}}


class JsonFormatter(logging.Formatter):
    """One JSON object per line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        time_utc = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time_utc.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if (left_out := getattr(record, "left_out_lines", 0)) > 0:
            line["left_out_lines"] = left_out
        if (exception := _exception(record)) is not None:
            line["exception"] = exception
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """Lines for people: time, level, logger and message, with any exception on the lines below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        line = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], self.formatMessage(record))
        if (left_out := getattr(record, "left_out_lines", 0)) > 0:
            line += f" ({left_out} similar lines were suppressed)"
        exception = _exception(record)
        return line if exception is None else f"{line}\n{exception}"


class RateLimitFilter(logging.Filter):
    """Passes a limited number of warnings and errors per minute; the next one reports how many were suppressed."""

    def __init__(self) -> None:
        super().__init__()
        self._minutes: dict[tuple[str, int], tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        key = record.name, record.levelno
        most = _FEWER_LINES_PER_MINUTE.get(record.name.partition(".")[0], LINES_PER_MINUTE)
        minute = int(time.monotonic() / 60)
        last, lines = self._minutes.get(key, (minute, 0))
        if minute != last:
            record.left_out_lines = max(0, lines - most)
            lines = 0
        self._minutes[key] = minute, lines + 1
        return lines < most


def _exception(record: logging.LogRecord) -> str | None:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return None
    if "request_id" in getattr(record, "fields", {}) or record.name.startswith(_QUOTING):
        return _without_words(error)
    return "".join(traceback.format_exception(error)).rstrip()


def _without_words(error: BaseException) -> str:
    """Type and place of an exception and of its causes, the last one first."""
    parts: list[str] = []
    found: BaseException | None = error
    while found is not None and len(parts) < 10:
        parts.append("".join(traceback.format_tb(found.__traceback__)) + type(found).__qualname__)
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return "\ncaused by\n".join(parts)
