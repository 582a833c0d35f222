"""Requests as OpenTelemetry traces, sent over OTLP/HTTP; loaded only if tracing is enabled.

OpenTelemetry's own variables set the address, the sampling and the service name (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, ...). Spans wait in a bounded queue for a thread that sends them; if it is full
they are dropped, so a slow or unreachable collector never delays a request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import overload

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from harmgauge.inference.caller import Progress
from harmgauge.observe.request_summary import RequestSummary

SPANS_AT_A_TIME = 8
"""About 0.2 ms; a whole batch of 512 takes 10 ms, during which new requests had to wait."""

PAUSE_SECONDS = 0.0005
"""Lets another thread take the GIL. Ten thousand spans a second can still be sent: more than one process produces."""


class YieldingExporter(OTLPSpanExporter):
    """OpenTelemetry's HTTP exporter, with pauses, on its own thread."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send these spans; it may take 0.1 ms for each."""
        return super().export(WithPauses(spans))


class WithPauses(Sequence[ReadableSpan]):
    """The same spans; iteration pauses after every SPANS_AT_A_TIME of them."""

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


MOST_PATH_CHARACTERS = 256
"""A route may contain a part that the client chose; longer ones are cut to this length."""

Headers = Iterable[tuple[bytes, bytes]]
"""A request's headers, with lower-case names."""


class Tracing:
    """Starts traces, or continues the clients', and sends the sampled ones."""

    def __init__(self) -> None:
        ours = Resource.create({SERVICE_NAME: "harmgauge", SERVICE_VERSION: version("harmgauge")})
        resource = ours.merge(OTELResourceDetector().detect())  # the environment takes precedence
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(YieldingExporter())
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("harmgauge", version("harmgauge"))
        self._scope = InstrumentationScope("harmgauge", version("harmgauge"))
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, headers: Headers) -> Trace:
        """A request with these headers has started. A `traceparent` that is malformed or repeated is ignored."""
        return Trace(self, self._parent(headers))

    def close(self, seconds: float) -> None:
        """Send the pending spans, within `seconds`."""
        sending = threading.Thread(target=self._processor.shutdown, daemon=True)
        sending.start()
        sending.join(seconds)

    def _parent(self, headers: Headers) -> Context:
        parents = [str(value, "latin-1") for name, value in headers if name == b"traceparent"]
        if len(parents) != 1:
            return Context()
        states = [str(value, "latin-1") for name, value in headers if name == b"tracestate"]
        return self._propagator.extract({"traceparent": parents} | ({"tracestate": states} if states else {}))


class Trace:
    """One request's part of a trace: the server's span, and inside it the time spent in each step.

    `progress` is None if the request was not sampled: then it need not be filled in.
    """

    def __init__(self, tracing: Tracing, parent: Context) -> None:
        self._tracing = tracing
        self._begin, self._begin_ns = time.perf_counter(), time.time_ns()
        self._span = tracing._tracer.start_span("request", parent, SpanKind.SERVER, start_time=self._begin_ns)
        self._context = self._span.get_span_context()
        self.progress = Progress() if self._span.is_recording() else None

    @property
    def ids(self) -> dict[str, str]:
        """The ids for log lines; empty if OTEL_SDK_DISABLED is set."""
        if not self._context.is_valid:
            return {}
        return {"trace_id": f"{self._context.trace_id:032x}", "span_id": f"{self._context.span_id:016x}"}

    def end(self, answered: RequestSummary) -> None:
        """Hand the spans of an answered request to the thread that sends them."""
        if self.progress is None:
            return
        end = time.perf_counter()
        for name, begin_part, end_part, attributes in _parts(self.progress, end):
            self._add(name, begin_part, end_part, attributes)
        self._span.update_name(answered.name)
        self._span.set_attributes(_attributes(answered, self.progress))
        if answered.is_our_fault:
            self._span.set_status(StatusCode.ERROR)
        self._span.end(self._at(end))

    def _at(self, moment: float) -> int:
        return self._begin_ns + round((moment - self._begin) * 1e9)

    def _add(self, name: str, begin: float, end: float, attributes: dict[str, AttributeValue]) -> None:
        # Created complete: `start_span` and `end` would take 20 us of the event loop for each span, this takes 4.
        provider, own = self._tracing._provider, self._context
        context = SpanContext(
            own.trace_id,
            provider.id_generator.generate_span_id(),
            is_remote=False,
            trace_flags=own.trace_flags,
            trace_state=own.trace_state,
        )
        self._tracing._processor.on_end(
            ReadableSpan(
                name,
                context,
                own,
                provider.resource,
                attributes,
                start_time=self._at(begin),
                end_time=self._at(end),
                instrumentation_scope=self._tracing._scope,
            )
        )


def _parts(progress: Progress, end: float) -> Iterator[tuple[str, float, float, dict[str, AttributeValue]]]:
    """Name, start, end and attributes of the periods in which a request's rows waited and ran, as far as they occurred.

    The rest of the server's span lies before and after them: separate spans for reading and answering would add no
    information, and a span takes 25 us. A batch serves several requests, and each one's span has it as attributes: a
    separate span with a link from each would double the number of spans.
    """
    if progress.queued is None:
        return
    yield "queue", progress.queued, progress.began or end, {}
    if progress.began is None or progress.ended is None:
        return
    runs: dict[str, AttributeValue] = {"harmgauge.runs": progress.runs, "harmgauge.batch_rows": progress.batch_rows}
    yield "inference", progress.began, progress.ended, runs


def _attributes(answered: RequestSummary, progress: Progress) -> dict[str, AttributeValue]:
    """Attributes named by OpenTelemetry's semantic conventions for HTTP (1.23, stable) and RPC (1.39), if they define
    one.
    """
    if answered.protocol == "grpc":
        found: dict[str, AttributeValue | None] = {
            "rpc.system.name": "grpc",
            "rpc.method": answered.route.removeprefix("/"),
            "rpc.response.status_code": answered.status,
        }
    else:
        found = {
            "http.request.method": answered.method,
            "http.route": answered.route,
            "http.response.status_code": answered.status,
            "url.scheme": answered.scheme,
            "url.path": None if answered.path is None else answered.path[:MOST_PATH_CHARACTERS],
        }
    found |= {
        "error.type": answered.code if answered.is_our_fault else None,
        "harmgauge.request_id": answered.request_id,
        "harmgauge.bundle": answered.bundle,
        "harmgauge.code": answered.code,
        "harmgauge.key_name": answered.key_name,
        "harmgauge.rows": progress.rows,
        "harmgauge.flagged_rows": progress.flagged_rows,
    }
    return {name: value for name, value in found.items() if value is not None}
