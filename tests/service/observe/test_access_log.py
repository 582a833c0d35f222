"""The log entry of a request, by its outcome."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from harmgauge.errors import InferenceFailed, NotReady, Overloaded, Unprocessable
from harmgauge.observe.access_log import AccessLog, Lines
from harmgauge.observe.request_summary import RequestSummary


def answered(status: int | str, **more: Any) -> RequestSummary:
    protocol = "http" if isinstance(status, int) else "grpc"
    given = {"method": "POST", "route": "/score", "seconds": 0.25, "request_id": "1", "bundle": "toy/1"}
    return RequestSummary(protocol=protocol, status=status, **given | more)  # type: ignore[arg-type]  # passed on as given


class Counted:
    """Counts requests by status, and rejections by reason."""

    def __init__(self) -> None:
        self.statuses: list[int | str] = []
        self.reasons: list[str] = []

    def answered(self, route: str, status: int | str, seconds: float) -> None:
        assert (route, seconds) == ("/score", 0.25)
        self.statuses.append(status)

    def rejected(self, reason: str) -> None:
        self.reasons.append(reason)


def test_every_request_is_counted_whatever_the_log_gets() -> None:
    for lines in ("errors", "all", "off"):
        counted = Counted()
        access_log = AccessLog(counted, lines, None)
        for request in (answered(200), answered(404, code="not_found"), answered(499), answered("CANCELLED")):
            access_log.finish(None, request)
        assert counted.statuses == [200, 404, 499, "CANCELLED"]
        assert counted.reasons == ["not_found"]


def levels(caplog: pytest.LogCaptureFixture, lines: Lines, *requests: RequestSummary) -> list[int]:
    caplog.clear()
    caplog.set_level(logging.INFO)
    access_log = AccessLog(Counted(), lines, None)
    for request in requests:
        access_log.finish(None, request)
    return [record.levelno for record in caplog.records]


def failed(cause: Exception) -> InferenceFailed:
    error = InferenceFailed("The graph could not be run.")
    error.__cause__ = cause
    return error


def test_refusals_are_warnings_failures_errors_and_the_rest_by_setting(caplog: pytest.LogCaptureFixture) -> None:
    good = [answered(200), answered("OK"), answered(499), answered("CANCELLED")]
    refused = [
        answered(404, code="not_found"),
        answered(422, code=Unprocessable.code, error=Unprocessable("x")),
        answered(429, code=Overloaded.code, error=Overloaded("x")),
        answered(503, code=NotReady.code, error=NotReady("x")),
        answered("UNAVAILABLE", code=NotReady.code, error=NotReady("x")),
    ]
    own = [
        answered(500, code="non_finite_score"),
        answered(500, code="inference_failed", error=failed(RuntimeError("node 7"))),
        answered(500, code="internal", error=KeyError("x")),
        answered("INTERNAL", code="internal", error=KeyError("x")),
        answered(200, error=OSError("the answer had begun")),
    ]
    of_all = [logging.INFO] * 4 + [logging.WARNING] * 5 + [logging.ERROR] * 5
    assert levels(caplog, "all", *good, *refused, *own) == of_all
    assert levels(caplog, "errors", *good, *refused, *own) == of_all[4:]
    broken = [request for request in own if request.failure is not None]
    assert levels(caplog, "off", *good, *refused, *own) == [logging.ERROR] * len(broken)


def test_the_runtime_is_quoted_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    levels(caplog, "off", answered(500, code="inference_failed", error=failed(RuntimeError("Reshape node 7"))))
    assert caplog.messages == [
        "POST /score 500 inference_failed in 0.2500 s (request 1): Reshape node 7",
    ]
    levels(caplog, "off", answered(500, code="internal", error=ValueError("MARKER")))
    assert caplog.messages == ["POST /score 500 internal in 0.2500 s (request 1)"]


@pytest.mark.parametrize(
    ("status", "is_ours"),
    [
        *((200, False), (404, False), (429, False), (500, True), (503, True), (504, True)),
        *(("OK", False), ("INVALID_ARGUMENT", False), ("UNAVAILABLE", True), ("INTERNAL", True)),
    ],
)
def test_whose_fault_it_is(status: int | str, is_ours: bool) -> None:
    assert answered(status).is_our_fault == is_ours
