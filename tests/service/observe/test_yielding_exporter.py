"""Spans exported with pauses: the same spans, and the lock is free in between."""

from __future__ import annotations

import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from harmgauge.observe.tracing import PAUSE_SECONDS, SPANS_AT_A_TIME, WithPauses

SPANS = [ReadableSpan(str(number)) for number in range(3 * SPANS_AT_A_TIME + 1)]


def test_they_are_the_same_spans_and_every_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[tuple[int, float]] = []
    taken: list[ReadableSpan] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: pauses.append((len(taken), seconds)))
    spans = WithPauses(SPANS)
    for span in spans:
        taken.append(span)
    assert taken == SPANS
    assert pauses == [(number * SPANS_AT_A_TIME, PAUSE_SECONDS) for number in (1, 2, 3)]
    assert (len(spans), spans[3], spans[1:3]) == (len(SPANS), SPANS[3], SPANS[1:3])


def test_a_handful_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    assert list(WithPauses(SPANS[:SPANS_AT_A_TIME])) == SPANS[:SPANS_AT_A_TIME]
