"""Log lines: one object or one line per event, whatever it contains, and never a flood."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.observe.logs import LINES_PER_MINUTE, JsonFormatter, RateLimitFilter, TextFormatter, fields


def record(message: str, *arguments: object, level: int = logging.INFO, name: str = "test", **more: Any) -> Any:
    made = logging.LogRecord(name, level, __file__, 1, message, arguments, more.pop("exc_info", None))
    vars(made).update(more)
    return made


def raised(payload: str) -> Any:
    """An exception that quotes the payload, raised from another that does."""
    try:
        try:
            float(payload)
        except ValueError as inner:
            raise RuntimeError(f"cannot score {payload}") from inner
    except RuntimeError as error:
        return type(error), error, error.__traceback__


@settings(deadline=None)
@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_json_is_one_line_of_ascii_and_gives_back_what_went_in(message: str, more: dict[str, Any]) -> None:
    more = {name: value for name, value in more.items() if name not in {"time", "level", "logger", "message"}}
    line = JsonFormatter().format(record("%s", message, fields=fields(more)["fields"]))
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert found.pop("message") == message
    written = datetime.fromisoformat(found.pop("time"))
    assert written.tzinfo == UTC
    assert abs((datetime.now(UTC) - written).total_seconds()) < 60
    assert found == {"level": "info", "logger": "test"} | {
        name: value for name, value in more.items() if value is not None
    }


def test_times_are_rfc_3339_in_utc() -> None:
    found = json.loads(JsonFormatter().format(record("", created=1e9 + 0.25)))
    assert found["time"] == "2001-09-09T01:46:40.250Z"


@settings(deadline=None)
@given(st.text())
def test_text_is_one_line_without_control_characters(message: str) -> None:
    line = TextFormatter().format(record("%s", message))
    assert len(line.splitlines()) == 1
    assert not re.search("[\x00-\x1f\x7f-\x9f]", line)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_is_told_with_its_words_unless_a_request_raised_it(formatter: logging.Formatter) -> None:
    ours = formatter.format(record("failed", exc_info=raised("MARKER")))
    assert "cannot score MARKER" in ours
    of_requests = [
        record("failed", exc_info=raised("MARKER"), fields={"request_id": "1"}),
        record("failed", exc_info=raised("MARKER"), name="uvicorn.error"),
        record("failed", exc_info=raised("MARKER"), name="asyncio"),
        record("failed", exc_info=raised("MARKER"), name="grpc._cython.cygrpc"),
    ]
    for each in of_requests:
        line = formatter.format(each)
        assert "MARKER" not in line
        for told in ("RuntimeError", "caused by", "ValueError", "in raised", "test_logs.py"):
            assert told in line


def test_a_flood_is_cut_off_each_minute_and_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 6000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    flood = RateLimitFilter()

    def let_through(count: int, level: int = logging.WARNING, name: str = "harmgauge.access") -> int:
        return sum(flood.filter(record("", level=level, name=name)) for _ in range(count))

    assert let_through(1000) == LINES_PER_MINUTE
    assert let_through(10, logging.ERROR) == 10, "failures are not hidden by refusals"
    assert let_through(10, name="uvicorn.error") == 10
    assert let_through(1000, logging.INFO) == 1000
    assert let_through(100, name="opentelemetry.exporter") == 2
    now += 60
    first, second = record("", level=logging.WARNING, name="harmgauge.access"), record("", level=logging.WARNING)
    assert flood.filter(first)
    assert flood.filter(second)
    assert first.left_out_lines == 1000 - LINES_PER_MINUTE
    assert json.loads(JsonFormatter().format(first))["left_out_lines"] == 1000 - LINES_PER_MINUTE
    assert TextFormatter().format(first).endswith(f"({1000 - LINES_PER_MINUTE} similar lines were suppressed)")
    assert "left_out" not in JsonFormatter().format(second)
    assert let_through(1000) == LINES_PER_MINUTE - 1
