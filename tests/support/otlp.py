"""A receiver for OTLP/HTTP, in place of a real collector."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.http_servers import listening
from tests.support.process import wait_until

SERVER = 2
"""The protocol's number for the span kind "server"."""


@dataclass
class Span:
    """A span as sent: ids in hexadecimal, times in nanoseconds; `kind` and `status` are the protocol's numbers."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    kind: int
    status: int
    begin_ns: int
    end_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class Receiver:
    """The spans received so far. While `answers` is clear, requests wait."""

    url: str
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)

    def of(self, trace_id: str) -> list[Span]:
        """The spans of a trace, the server's first, then by start time; waits until the server's has arrived."""
        wait_until(lambda: any(span.trace_id == trace_id and span.kind == SERVER for span in self.spans))
        own = [span for span in self.spans if span.trace_id == trace_id]
        return sorted(own, key=lambda span: (span.kind != SERVER, span.begin_ns))

    def take(self, body: bytes) -> None:
        message = ExportTraceServiceRequest.FromString(body)
        for resource_spans in message.resource_spans:
            resource = _values(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self.spans.append(
                        Span(
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.trace_state,
                            span.kind,
                            span.status.code,
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            _values(span.attributes),
                            resource,
                        )
                    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.answers.wait(60)
            receiver.headers.append(dict(self.headers))
            receiver.bodies.append(body)
            receiver.take(body)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = Receiver("")
    receiver.answers.set()
    with listening(Handler) as url:
        receiver.url = url
        try:
            yield receiver
        finally:
            receiver.answers.set()
