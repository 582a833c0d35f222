"""The log of the real process: JSON lines about every refusal, without payloads or keys."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harmgauge.api.body.media import NPY
from harmgauge.auth.keys import new_key
from harmgauge.observe.logs import LINES_PER_MINUTE
from tests.support.process import NO_TLS, RAW, RunningService, grpc_port, run, running_service, wait_until
from tests.support.toy import instances

SHAPE = (4, 4, 3)
ROWS = instances(3, SHAPE)
KEY, LINE = new_key("shop")
METRICS_KEY, METRICS_LINE = new_key("prometheus")
MARKER = "PAYLOAD8f1c"
SAFE = "mine-1:2/3=4"
HOSTILE = ["a" * 129, "two words", 'x","level":"info', "a\tb", "${jndi:x}", "<b>", "caf\u00e9", ""]


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    settings: dict[str, object] = {"api_keys": LINE, "metrics_keys": METRICS_LINE, "client_key": KEY}
    with running_service(
        image_bundle_path, log_format="json", grpc_port=0, max_body_bytes=100_000, max_queue_rows=64, **settings
    ) as running:
        yield running


def lines(service: RunningService) -> list[dict[str, Any]]:
    """The lines logged so far: each must be an object with the common fields."""
    found = [json.loads(line) for line in list(service.log)]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in found)
    return found


def line_of(service: RunningService, request_id: str) -> dict[str, Any]:
    """The single line about a request."""
    wait_until(lambda: service.said(request_id))
    (found,) = (line for line in lines(service) if line.get("request_id") == request_id)
    return found


JSON = {"Content-Type": "application/json"}
DEADLINE = "X-Harmgauge-Deadline-Seconds"
V2 = "/v2/models/{name}/infer"
REFUSALS: list[tuple[str, str, bytes, dict[str, str], int, str, str]] = [
    ("POST", "/score", b"x", RAW, 422, "invalid_instances", "/score"),
    ("POST", "/score", MARKER.encode(), JSON, 400, "unreadable_body", "/score"),
    ("POST", "/score", MARKER.encode(), {"Content-Type": NPY}, 400, "unreadable_body", "/score"),
    ("POST", "/score", b"{}", {"Content-Type": f"text/{MARKER}"}, 415, "unknown_media_type", "/score"),
    ("POST", "/score", bytes(100_001), RAW, 413, "too_large", "/score"),
    ("POST", "/score", instances(65, SHAPE).tobytes(), RAW, 413, "too_large", "/score"),
    ("POST", f"/score?{MARKER}=1", ROWS.tobytes(), RAW, 422, "invalid_parameters", "/score"),
    ("POST", "/score", ROWS.tobytes(), RAW | {DEADLINE: MARKER}, 422, "invalid_parameters", "/score"),
    ("POST", "/score", ROWS.tobytes(), RAW | {DEADLINE: "1e-9"}, 504, "deadline_passed", "/score"),
    ("POST", "/v2/models/toy/infer", MARKER.encode(), {}, 400, "unreadable_body", V2),
    ("POST", f"/v2/models/{MARKER}/infer", b"{}", {}, 404, "unknown_model", V2),
    ("GET", f"/{MARKER}", b"", {}, 404, "not_found", "other"),
    ("PUT", "/score", b"", {}, 405, "method_not_allowed", "/score"),
    ("GET", f"/drift?scores={MARKER}", b"", {}, 422, "invalid_parameters", "/drift"),
    ("POST", "/admin/drift/reset", b"", {}, 403, "forbidden", "/admin/drift/reset"),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "code", "route"), REFUSALS)
def test_every_refusal_has_its_id_in_answer_and_log(
    service: RunningService,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
    route: str,
) -> None:
    answer = service.client.request(method, path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    request_id = answer.headers["x-request-id"]
    assert answer.json()["request_id"] == request_id
    line = line_of(service, request_id)
    assert line["level"] == "warning"
    assert (line["method"], line["route"], line["status"], line["code"]) == (method, route, status, code)
    assert (line["key_name"], line["bundle"]) == ("shop", "toy/1")
    assert 0 <= line["duration_seconds"] < 30


def test_who_has_no_key_is_logged_without_what_he_sent_for_one(service: RunningService) -> None:
    wrong = f"hg_{MARKER}"
    refused = httpx.get(f"{service.client.base_url}/drift", headers={"Authorization": f"Bearer {wrong}"}, verify=NO_TLS)
    assert refused.status_code == 401
    line = line_of(service, refused.headers["x-request-id"])
    assert line["code"] == "unauthorized"
    assert "key_name" not in line


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/metrics", "/score", "/v2/models/toy"])
def test_ids_are_taken_where_they_are_harmless(service: RunningService, path: str) -> None:
    answer = service.client.get(path, headers={"X-Request-Id": SAFE})
    assert answer.headers["x-request-id"] == SAFE
    for bad in HOSTILE:
        made = service.client.get(path, headers=[(b"X-Request-Id", bad.encode("latin-1"))]).headers["x-request-id"]
        assert len(made) == 32
    lines(service)


def test_good_requests_have_an_id_and_no_line(service: RunningService) -> None:
    for path in ("/score", "/v2/models/toy/infer"):
        body: dict[str, Any] = {"content": ROWS.tobytes(), "headers": RAW}
        if path != "/score":
            tensor = {"name": "input", "shape": [3, *SHAPE], "datatype": "UINT8", "data": ROWS.reshape(-1).tolist()}
            body = {"json": {"inputs": [tensor]}}
        answer = service.client.post(path, **body)
        assert (answer.status_code, len(answer.headers["x-request-id"])) == (200, 32)
        assert not service.said(answer.headers["x-request-id"])


def test_what_is_no_http_is_a_line_too(service: RunningService) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01" + MARKER.encode() + b"\r\n\r\n")
        assert b" 400 " in connection.recv(4096)
    wait_until(lambda: service.said("Invalid HTTP"))
    assert lines(service)


def test_grpc_takes_and_gives_ids_and_logs_refusals(service: RunningService) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(service)}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        bearer = ("authorization", f"Bearer {KEY}")
        good = service_pb2.ModelInferRequest(
            model_name="toy",
            inputs=[{"name": "input", "datatype": "UINT8", "shape": [3, *SHAPE]}],
            raw_input_contents=[ROWS.tobytes()],
        )
        _, call = stub.ModelInfer.with_call(good, metadata=[bearer, ("x-request-id", SAFE)], timeout=10)
        assert dict(call.trailing_metadata())["x-request-id"] == SAFE
        _, call = stub.ModelInfer.with_call(good, metadata=[bearer, ("x-request-id", "two words")], timeout=10)
        assert len(dict(call.trailing_metadata())["x-request-id"]) == 32

        other = service_pb2.ModelInferRequest(model_name=MARKER)
        raw = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        calls: list[tuple[Any, Any, list[tuple[str, str]], str, str]] = [
            (stub.ModelInfer, other, [bearer], "unknown_model", "NOT_FOUND"),
            (raw, f"\xff{MARKER}".encode("latin-1"), [bearer], "unreadable_body", "INVALID_ARGUMENT"),
            (stub.ModelInfer, good, [], "unauthorized", "UNAUTHENTICATED"),
        ]
        for ask, request, metadata, code, status in calls:
            with pytest.raises(grpc.RpcError) as refused:
                ask(request, metadata=[*metadata, ("x-request-id", f"grpc-{code}")], timeout=10)
            assert refused.value.code().name == status
            trailing = dict(refused.value.trailing_metadata())
            assert (trailing["code"], trailing["x-request-id"]) == (code, f"grpc-{code}")
            line = line_of(service, f"grpc-{code}")
            assert (line["status"], line["code"], line.get("key_name")) == (status, code, "shop" if metadata else None)
            assert line["route"] == "/inference.GRPCInferenceService/ModelInfer"


def test_nothing_of_a_payload_or_a_key_was_logged(service: RunningService) -> None:
    """Last in this file, so that it covers the requests of all tests above."""
    service.client.post("/score", content=MARKER.encode() * 8, headers=RAW)
    log = "".join(service.log)
    assert MARKER not in log
    assert not any(secret in log for secret in (KEY, METRICS_KEY, LINE.partition(":")[2]))


def test_a_score_that_is_not_finite_is_an_error(vector_bundle_path: Path) -> None:
    """Numbers that overflow give a score that is not finite."""
    with running_service(vector_bundle_path, log_format="json") as service:
        rows = np.full((1, 5), 3e38, np.float32)
        answer = service.client.post("/score", content=rows.tobytes(), headers=RAW)
        assert (answer.status_code, answer.json()["code"]) == (500, "non_finite_score")
        line = line_of(service, answer.headers["x-request-id"])
        assert (line["level"], line["code"]) == ("error", "non_finite_score")


def test_all_logs_good_requests_with_their_rows_and_off_none(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, log_format="json", access_log="all") as service:
        answer = service.client.post("/score", content=ROWS.tobytes(), headers=RAW | {"X-Request-Id": SAFE})
        assert answer.status_code == 200
        line = line_of(service, SAFE)
        assert (line["level"], line["status"], line["rows"], line["route"]) == ("info", 200, 3, "/score")
        assert "code" not in line
    with running_service(image_bundle_path, log_format="json", access_log="off") as service:
        request_id = service.client.get("/nowhere").headers["x-request-id"]
        service.terminate()
        service.wait()
        assert not service.said(request_id)
        assert [line["message"] for line in lines(service)][-1] == "stopped"


def test_a_flood_of_refusals_does_not_fill_the_log(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, log_format="json") as service:
        for number in range(5 * LINES_PER_MINUTE):
            service.client.get(f"/nowhere/{number}")
        wait_until(lambda: service.said("harmgauge.access") >= LINES_PER_MINUTE)
        refusals = [line for line in lines(service) if line["logger"] == "harmgauge.access"]
        assert LINES_PER_MINUTE <= len(refusals) <= 2 * LINES_PER_MINUTE, "a minute may end in between"


def test_text_tells_the_same_in_one_line(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path) as service:
        request_id = service.client.put("/score").headers["x-request-id"]
        wait_until(lambda: service.said(request_id))
        (line,) = (line for line in service.log if request_id in line)
        assert "WARNING harmgauge.access: PUT /score 405 method_not_allowed in " in line


def test_a_start_that_fails_is_a_json_line_too(tmp_path: Path) -> None:
    done = run("serve", bundle=tmp_path, log_format="json")
    assert done.returncode == 1
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert line["level"] == "critical"
    assert f"{tmp_path} is not a bundle" in line["message"]
