"""Traces of the real process, as a real OTLP receiver gets them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harmgauge.auth.keys import new_key
from tests.support.otlp import SERVER, Receiver, receiving
from tests.support.process import RAW, RunningService, grpc_port, wait_until
from tests.support.traced import ROWS, SHAPE, SOON, score, traced_service

KEY, LINE = new_key("shop")
MARKER = "PAYLOAD8f1c"
INTERNAL, ERROR = 1, 2
PARTS = ["queue", "inference"]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def service(image_bundle_path: Path, receiver: Receiver) -> Iterator[RunningService]:
    variables = SOON | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=ours",
        "OTEL_SERVICE_NAME": "cameras",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    settings: dict[str, object] = {"api_keys": LINE, "client_key": KEY, "max_batch_rows": 2, "grpc_port": 0}
    with traced_service(image_bundle_path, variables, log_format="json", access_log="all", **settings) as running:
        yield running


def new_parent(flags: str = "01") -> tuple[str, str, str]:
    """A `traceparent`, and the ids of the trace and of the client's span in it."""
    trace_id, span_id = f"{random.getrandbits(128) | 1:032x}", f"{random.getrandbits(64) | 1:016x}"
    return f"00-{trace_id}-{span_id}-{flags}", trace_id, span_id


def ids_of(service: RunningService, request_id: str) -> tuple[str, str]:
    """The ids of the trace and the span in the request's log line."""
    wait_until(lambda: service.said(request_id))
    (line,) = (line for line in map(json.loads, list(service.log)) if line.get("request_id") == request_id)
    return line["trace_id"], line["span_id"]


def test_a_request_goes_on_with_its_clients_trace_and_tells_where_its_time_went(
    service: RunningService, receiver: Receiver
) -> None:
    parent, trace_id, span_id = new_parent()
    begin = time.time_ns()
    answer = score(service, traceparent=parent, tracestate="vendor=1,other=2")
    end = time.time_ns()
    server, *parts = receiver.of(trace_id)
    assert (server.name, server.kind, server.status, server.parent_id) == ("POST /score", SERVER, 0, span_id)
    assert [part.name for part in parts] == PARTS
    assert all((part.kind, part.parent_id) == (INTERNAL, server.span_id) for part in parts)
    assert len({span.span_id for span in (server, *parts)}) == 3
    assert {span.trace_state for span in (server, *parts)} == {"vendor=1,other=2"}
    # The rows run as soon as they stop waiting; reading comes before, responding after.
    queue, inference = parts
    moments = [begin, server.begin_ns, queue.begin_ns, queue.end_ns, inference.end_ns, server.end_ns, end]
    assert moments == sorted(moments)
    assert queue.end_ns == inference.begin_ns
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/score",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": "/score",
        "harmgauge.request_id": answer.headers["x-request-id"],
        "harmgauge.bundle": "toy/1",
        "harmgauge.key_name": "shop",
        "harmgauge.rows": 3,
        "harmgauge.flagged_rows": sum(answer.json()["is_adversarial"]),
    }
    assert inference.attributes["harmgauge.batch_rows"] == 3
    assert inference.attributes["harmgauge.runs"] in {2, 3}
    assert (server.resource["service.name"], server.resource["deployment.environment.name"]) == ("cameras", "test")
    assert receiver.headers[-1]["x-tenant"] == "ours"
    assert ids_of(service, answer.headers["x-request-id"]) == (trace_id, server.span_id)


def test_v2_and_grpc_are_traced_alike(service: RunningService, receiver: Receiver) -> None:
    parent, trace_id, _ = new_parent()
    tensor = {"name": "input", "shape": [3, *SHAPE], "datatype": "UINT8", "data": ROWS.reshape(-1).tolist()}
    service.client.post("/v2/models/toy/infer", json={"inputs": [tensor]}, headers={"traceparent": parent})
    server, *parts = receiver.of(trace_id)
    assert (server.name, [part.name for part in parts]) == ("POST /v2/models/{name}/infer", PARTS)
    assert server.attributes["url.path"] == "/v2/models/toy/infer"

    parent, trace_id, span_id = new_parent()
    request = service_pb2.ModelInferRequest(
        model_name="toy",
        inputs=[{"name": "input", "datatype": "UINT8", "shape": [3, *SHAPE]}],
        raw_input_contents=[ROWS.tobytes()],
    )
    metadata = [("authorization", f"Bearer {KEY}"), ("traceparent", parent), ("tracestate", "vendor=1")]
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        _, call = stub.ModelInfer.with_call(request, metadata=metadata, timeout=10)
    server, *parts = receiver.of(trace_id)
    assert (server.name, server.parent_id) == ("inference.GRPCInferenceService/ModelInfer", span_id)
    assert server.trace_state == "vendor=1"
    assert [part.name for part in parts] == PARTS
    flagged = server.attributes.pop("harmgauge.flagged_rows")
    assert 0 <= flagged <= 3
    assert server.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "inference.GRPCInferenceService/ModelInfer",
        "rpc.response.status_code": "OK",
        "harmgauge.request_id": dict(call.trailing_metadata())["x-request-id"],
        "harmgauge.bundle": "toy/1",
        "harmgauge.key_name": "shop",
        "harmgauge.rows": 3,
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "is_error"),
    [
        ("POST", f"/score?{MARKER}=1", 422, "invalid_parameters", False),
        ("POST", f"/{MARKER}", 404, "not_found", False),
        ("POST", "/score", 504, "deadline_passed", True),
    ],
)
def test_refusals_tell_their_code_and_only_ours_are_errors(
    service: RunningService, receiver: Receiver, method: str, path: str, status: int, code: str, is_error: bool
) -> None:
    parent, trace_id, _ = new_parent()
    headers = RAW | {"traceparent": parent} | ({"X-Harmgauge-Deadline-Seconds": "1e-9"} if status == 504 else {})
    assert service.client.request(method, path, content=ROWS.tobytes(), headers=headers).status_code == status
    server = receiver.of(trace_id)[0]
    assert server.attributes["harmgauge.code"] == code
    assert server.attributes["http.response.status_code"] == status
    assert (server.status == ERROR) == is_error
    assert server.attributes.get("error.type") == (code if is_error else None)
    assert ("url.path" in server.attributes) == (path != f"/{MARKER}")


@pytest.mark.parametrize(
    "parents",
    [
        ["nonsense"],
        ["00-" + "0" * 32 + "-" + "1" * 16 + "-01"],
        ["00-" + "1" * 32 + "-" + "0" * 16 + "-01"],
        ["ff-" + "1" * 32 + "-" + "1" * 16 + "-01"],
        ["00-" + "1" * 32 + "-" + "1" * 16 + "-01-more"],
        ["00-" + "G" * 32 + "-" + "1" * 16 + "-01"],
        ["1" * 5000],
        ["00-" + "1" * 32 + "-" + "1" * 16 + "-01", "00-" + "2" * 32 + "-" + "1" * 16 + "-01"],
    ],
)
def test_a_malformed_parent_begins_a_new_trace(service: RunningService, receiver: Receiver, parents: list[str]) -> None:
    headers = [*RAW.items(), *(("traceparent", parent) for parent in parents), ("tracestate", "vendor=1")]
    answer = service.client.post("/score", content=ROWS.tobytes(), headers=headers)
    assert answer.status_code == 200
    trace_id, _ = ids_of(service, answer.headers["x-request-id"])
    assert trace_id not in {"0" * 32, "1" * 32, "2" * 32}
    server = receiver.of(trace_id)[0]
    assert (server.parent_id, server.trace_state) == ("", "")


def test_a_state_that_is_malformed_leaves_the_parent(service: RunningService, receiver: Receiver) -> None:
    parent, trace_id, span_id = new_parent()
    score(service, traceparent=parent, tracestate="=,,;;" + MARKER)
    server = receiver.of(trace_id)[0]
    assert (server.parent_id, server.trace_state) == (span_id, "")


def test_what_the_client_did_not_sample_is_not_sent_but_logged_under_its_id(
    service: RunningService, receiver: Receiver
) -> None:
    parent, unsampled, _ = new_parent("00")
    answer = score(service, traceparent=parent)
    after, sampled, _ = new_parent()
    score(service, traceparent=after)
    receiver.of(sampled)
    assert not any(span.trace_id == unsampled for span in receiver.spans)
    assert ids_of(service, answer.headers["x-request-id"])[0] == unsampled


def test_probes_and_scrapes_begin_no_trace_but_go_on_with_one(service: RunningService, receiver: Receiver) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/v2/health/ready", "/page/state", "/"):
        assert service.client.get(path).status_code == 200
    parent, trace_id, _ = new_parent()
    service.client.get("/readyz", headers={"traceparent": parent})
    assert [span.name for span in receiver.of(trace_id)] == ["GET /readyz"]
    names = {span.name for span in receiver.spans}
    assert not names & {"GET /livez", "GET /metrics", "GET /v2/health/ready", "GET /page/state", "GET /"}


def test_no_span_has_anything_of_a_payload_or_a_key(service: RunningService, receiver: Receiver) -> None:
    parent, trace_id, _ = new_parent()
    body, headers = MARKER.encode() * 9, {"Content-Type": "application/json", "traceparent": parent}
    assert service.client.post("/score", content=body, headers=headers).status_code == 400
    receiver.of(trace_id)
    for sent in receiver.bodies:
        assert MARKER.encode() not in sent
        assert KEY.encode() not in sent
