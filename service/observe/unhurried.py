"""Spans sent without a request hearing of it: their encoding lets go of Python's lock after every few."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import overload

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

SPANS_AT_A_TIME = 8
"""Some 0.2 ms; a whole batch of 512 is 10 ms, which requests that came just then waited for."""

PAUSE_SECONDS = 0.0005
"""Whoever waits for the lock has it then. Ten thousand spans a second still go out: more than one process makes."""


class UnhurriedExporter(OTLPSpanExporter):
    """OpenTelemetry's own, over HTTP, in the thread that it has."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send these spans; it may take 0.1 ms for each."""
        return super().export(WithPauses(spans))


class WithPauses(Sequence[ReadableSpan]):
    """The same spans, with a rest after every SPANS_AT_A_TIME of them for whoever takes one after the other."""

    def __init__(self, spans: Sequence[ReadableSpan]) -> None:
        self._spans = spans

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> ReadableSpan: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ReadableSpan]: ...
    def __getitem__(self, index: int | slice) -> ReadableSpan | Sequence[ReadableSpan]:
        return self._spans[index]

    def __iter__(self) -> Iterator[ReadableSpan]:
        for number, span in enumerate(self._spans):
            if number and number % SPANS_AT_A_TIME == 0:
                time.sleep(PAUSE_SECONDS)
            yield span
