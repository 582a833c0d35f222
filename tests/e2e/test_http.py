"""The real process over HTTP: what it answers, and that bad input leaves no trace."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

from service.inference.bundle import load
from service.inference.runtime import OnnxRuntime
from tests.process import RAW, RunningService, as_float32, running_service, wait_until
from tests.service.api.test_bodies import NAN, npy, picture
from tests.toy import instances

SHAPE = (4, 4, 3)
JSON = {"Content-Type": "application/json"}
RAW_TYPE = RAW["Content-Type"]
MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, max_body_bytes=MAX_BODY_BYTES) as running:
        yield running


def test_scores_flags_and_predictions_are_the_graphs(service: RunningService, image_bundle_path: Path) -> None:
    bundle = load(image_bundle_path)
    rows = instances(70, SHAPE, seed=5)
    expected = OnnxRuntime(bundle, "cpu").run(rows)
    bodies = {
        "application/json": json.dumps({"instances": rows.tolist()}).encode(),
        "application/x-npy": npy(rows),
        "application/octet-stream": rows.tobytes(),
    }
    for media_type, body in bodies.items():
        answer = service.client.post("/score", content=body, headers={"Content-Type": media_type}).json()
        assert set(answer) == {"model", "version", "threshold", "scores", "is_adversarial", "predictions"}
        assert (answer["model"], answer["version"]) == ("toy", "1")
        np.testing.assert_allclose(answer["scores"], expected.score, atol=1e-5)
        assert answer["is_adversarial"] == [score > answer["threshold"] for score in answer["scores"]]
        assert answer["predictions"] == expected.probabilities.argmax(1).tolist()
    assert answer["threshold"] == bundle.threshold

    png = service.client.post("/score", content=picture(rows[3]), headers={"Content-Type": "image/png"}).json()
    np.testing.assert_allclose(png["scores"], expected.score[3:4], atol=1e-5)
    asked = service.client.post("/score?probabilities=true", content=rows.tobytes(), headers=RAW).json()
    np.testing.assert_allclose(asked["probabilities"], expected.probabilities, atol=1e-5)


def test_every_p_value_is_scipys(image_bundle_path: Path) -> None:
    reference = load(image_bundle_path).reference_scores
    with running_service(image_bundle_path) as service:
        sent: list[float] = []
        for step in range(12):
            rows = instances(23, SHAPE, seed=step)
            if step > 7:
                rows //= 3
            sent += service.score(rows)["scores"]
            metrics, drift = service.metrics(), service.score_ks(scores=True)
            rows_now = service.detector_metric("drift_window_rows")["score_ks"]
            assert drift["scores"] == sent[-100:], "the window holds the very scores that were answered"
            assert drift["rows"] == rows_now == min(len(sent), 100)
            if len(sent) < 100:
                assert drift["state"] == "warming"
                assert (drift["p_value"], drift["statistic"]) == (None, None)
                assert "harmgauge_drift_p_value" not in metrics
                assert set(service.detector_metric("drift_statistic")) == {"score_evidence"}
                continue
            expected = ks_2samp(drift["scores"], reference)
            assert service.detector_metric("drift_p_value") == {"score_ks": expected.pvalue}
            assert service.detector_metric("drift_statistic")["score_ks"] == expected.statistic
            assert (drift["p_value"], drift["statistic"]) == (expected.pvalue, expected.statistic)
            assert drift["state"] == ("drifting" if expected.statistic >= drift["threshold"] else "ok")
            detected = service.detector_metric("drift_detected")["score_ks"]
            assert detected == (drift["state"] == "drifting")
        assert drift["state"] == "drifting", "dark images are not normal"


GOOD = instances(2, SHAPE)


def json_with(value: object) -> bytes:
    changed = GOOD.tolist()
    changed[1][2][3][0] = value
    return json.dumps({"instances": changed}).encode()


def truncated_png() -> bytes:
    return picture(GOOD[0])[:50]


BAD = [
    ("empty body", b"", "application/json", 400),
    ("broken JSON", b'{"instances": [[', "application/json", 400),
    ("null among numbers", json_with(None), "application/json", 422),
    ("text among numbers", json_with("3"), "application/json", 422),
    ("ragged list", json.dumps({"instances": [*GOOD.tolist(), [[1]]]}).encode(), "application/json", 422),
    ("wrong shape", json.dumps({"instances": [[1, 2, 3]]}).encode(), "application/json", 422),
    ("256", json_with(256), "application/json", 422),
    ("-1", json_with(-1), "application/json", 422),
    ("0.5", json_with(0.5), "application/json", 422),
    ("zero instances", b'{"instances": []}', "application/json", 422),
    ("zero instances as .npy", npy(GOOD[:0]), "application/x-npy", 422),
    ("body over the limit", b" " * (MAX_BODY_BYTES + 1), "application/json", 413),
    ("wrong content type", b"<xml/>", "application/xml", 415),
    ("truncated .npy", npy(GOOD)[:-10], "application/x-npy", 400),
    ("truncated PNG", truncated_png(), "image/png", 400),
    ("pickle in .npy", npy(np.array([[{}]], dtype=object), allow_pickle=True), "application/x-npy", 422),
    ("PNG of another size", picture(instances(1, (5, 4, 3))[0]), "image/png", 422),
    ("correction that is not offered", b'{"instances": [], "parameters": {"correct": true}}', "application/json", 422),
    ("odd number of bytes", GOOD.tobytes()[:-1], "application/octet-stream", 422),
]


@pytest.mark.parametrize(("name", "body", "media_type", "status"), BAD, ids=[case[0] for case in BAD])
def test_bad_input_is_told_so_and_leaves_no_trace(
    service: RunningService, name: str, body: bytes, media_type: str, status: int
) -> None:
    before = service.score_ks(scores=True)["scores"]
    scored = service.metrics()["harmgauge_instances_total"]
    answer = service.client.post("/score", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert len(problem["detail"]) > 10
    assert service.score_ks(scores=True)["scores"] == before
    metrics = service.metrics()
    assert metrics["harmgauge_instances_total"] == scored
    assert any(labels["reason"] == problem["code"] for labels, _ in metrics["harmgauge_rejected_total"])


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (NAN, "application/x-npy", 422),
        (np.array([[1, 2, 3, 4, np.inf]], np.float32).tobytes(), "application/octet-stream", 422),
        (b'{"instances": [[1, 2, 3, 4, NaN]]}', "application/json", 400),
        (b'{"instances": [[1, 2, 3, 4, 1e999]]}', "application/json", 400),
    ],
)
def test_nan_and_infinity_never_reach_a_window(
    vector_bundle_path: Path, body: bytes, media_type: str, status: int
) -> None:
    with running_service(vector_bundle_path) as service:
        answer = service.client.post("/score", content=body, headers={"Content-Type": media_type})
        assert answer.status_code == status, answer.text
        assert service.score_ks()["rows"] == 0
        assert service.score(instances(3, (5,), "float32"))["scores"]
        assert service.score_ks()["rows"] == 3


def test_a_body_without_a_declared_length_is_bounded_too(service: RunningService) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    answer = service.client.post("/score", content=endless(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_far_over_the_limit_still_gets_its_answer(service: RunningService) -> None:
    """Closing with unread data would reset the connection before the answer is read."""
    answer = service.client.post("/score", content=bytes(20_000_000), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_compressed_bodies_are_refused_not_misread(service: RunningService) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert service.client.post("/score", content=b"\x1f\x8b", headers=headers).status_code == 400


def test_a_client_that_hangs_up_in_mid_request(service: RunningService) -> None:
    rows = service.score_ks()["rows"]
    body = GOOD.tobytes()
    for sent in (0, 1, len(body) - 1):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: {RAW_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:sent])
    wait_until(
        lambda: ({"route": "/score", "status": "499"}, 3) in service.metrics().get("harmgauge_requests_total", [])
    )
    assert service.score_ks()["rows"] == rows
    assert service.score(GOOD)["scores"]
    assert not any("Traceback" in line for line in service.log)


def connect(service: RunningService, body_bytes: int, *headers: str) -> socket.socket:
    """A connection on which a request for /score has begun; its body is still to come."""
    connection = socket.create_connection(("127.0.0.1", service.port))
    lines = ["POST /score HTTP/1.1", "Host: x", f"Content-Type: {RAW_TYPE}", f"Content-Length: {body_bytes}", *headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def answered(service: RunningService, status: str) -> float:
    totals = service.metrics().get("harmgauge_requests_total", [])
    return sum(count for labels, count in totals if labels == {"route": "/score", "status": status})


def test_clients_that_leave_after_their_whole_body_are_not_scored(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, max_batch_rows=1, workers=1, max_queue_rows=60_000) as service:
        first = connect(service, 40_000 * len(GOOD[:1].tobytes()))
        first.sendall(GOOD[:1].tobytes() * 40_000)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] > 1000)
        for _ in range(20):
            connection = connect(service, len(GOOD.tobytes()))
            connection.sendall(GOOD.tobytes())
            connection.close()
        time.sleep(0.1)
        first.close()
        wait_until(lambda: answered(service, "499") == 21)
        assert service.score_ks()["rows"] == 0
        assert service.metrics()["harmgauge_instances_total"] == [({"flag": "clean"}, 0), ({"flag": "adversarial"}, 0)]
        assert service.metrics()["harmgauge_queue_rows"] == [({}, 0)]
        assert answered(service, "200") == 0


def test_a_body_that_does_not_come_in_time_is_told_so(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, deadline_seconds=0.3) as service, connect(service, 48) as slow:
        slow.sendall(b"abc")
        answer = slow.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 504")
        assert b"The body was not whole" in answer
        assert b"connection: close" in answer
        assert service.score(GOOD)["scores"]


def test_a_request_may_have_a_deadline_of_its_own(service: RunningService) -> None:
    header = "X-Harmgauge-Deadline-Seconds"
    late = service.client.post("/score", content=GOOD.tobytes(), headers={**RAW, header: "0.000001"})
    assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")
    assert service.client.post("/score", content=GOOD.tobytes(), headers={**RAW, header: "5"}).status_code == 200
    for wrong in ("0", "-1", "soon", "nan", "inf"):
        refused = service.client.post("/score", content=GOOD.tobytes(), headers={**RAW, header: wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameters")


def test_bodies_that_never_end_are_bounded_together(image_bundle_path: Path) -> None:
    """However many connections hold half a body, their bytes together stay below the bound, and others are served."""
    limits = {"max_body_bytes": 100_000, "max_bodies_bytes": 300_000, "deadline_seconds": 3}
    with running_service(image_bundle_path, **limits) as service:
        held = [connect(service, 100_000) for _ in range(4)]
        for connection in held[:3]:
            connection.sendall(bytes(99_000))
        wait_until(lambda: service.client.get("/livez").status_code == 200)
        time.sleep(0.2)
        held[3].sendall(bytes(99_000))
        refusal = held[3].recv(10_000)
        assert refusal.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1" in refusal
        assert service.score(GOOD)["scores"]
        for connection in held[:3]:
            assert connection.recv(10_000).startswith(b"HTTP/1.1 504")
        with connect(service, 99_984) as whole:
            whole.sendall(bytes(99_984))
            assert whole.recv(100).startswith(b"HTTP/1.1 200"), "the bytes are given back"
        for connection in held:
            connection.close()


def test_the_evidence_alarm_over_http(image_bundle_path: Path) -> None:
    """It stays when the traffic is clean again, until somebody with the key acknowledges it."""
    keys = {"admin_keys": "first-secret, second-secret", "rows_between_false_alarms": 10_000}
    with running_service(image_bundle_path, **keys) as service:
        for seed in range(5):
            service.score(instances(20, SHAPE, seed=seed))
        calm = service.client.get("/drift").json()["detectors"]["score_evidence"]
        assert (calm["state"], calm["rows"], calm["p_value"], calm["window_rows"]) == ("ok", 100, None, None)
        for seed in range(60):
            service.score(instances(20, SHAPE, seed=seed) // 3)
        service.score(instances(20, SHAPE))
        found = service.client.get("/drift").json()["detectors"]["score_evidence"]
        assert (found["state"], found["threshold"], found["tolerance"]) == ("drifting", 10_000, 0.01)
        assert found["highest"] >= 10_000
        assert service.detector_metric("drift_detected")["score_evidence"] == 1
        assert service.detector_metric("drift_statistic_threshold")["score_evidence"] == 10_000
        sign = {"higher": 1, "lower": -1}[found["direction"]]
        assert service.detector_metric("drift_direction") == {"score_evidence": sign}
        assert service.detector_metric("drift_design_effect")["score_evidence"] == found["design_effect"]
        assert any("score_evidence is drifting" in line for line in service.log)

        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic first-secret"}):
            refused = service.client.post("/admin/drift/reset", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert service.client.get("/drift").json()["detectors"]["score_evidence"]["state"] == "drifting"
        done = service.client.post("/admin/drift/reset", headers={"Authorization": "Bearer second-secret"})
        assert done.status_code == 200, done.text
        fresh = service.client.get("/drift").json()["detectors"]
        assert (fresh["score_evidence"]["state"], fresh["score_evidence"]["rows"]) == ("ok", 0)
        assert (fresh["score_ks"]["state"], fresh["score_ks"]["rows"]) == ("warming", 0)


def test_a_client_key_counts_a_client_once(service: RunningService) -> None:
    def rows() -> int:
        return int(service.client.get("/drift").json()["detectors"]["score_evidence"]["rows"])

    before = rows()
    for client in ("a", "b", "a", "a"):
        headers = {**RAW, "X-Harmgauge-Client": client}
        assert service.client.post("/score", content=GOOD.tobytes(), headers=headers).status_code == 200
    assert rows() == before + 2 * len(GOOD)


def test_admin_is_closed_where_there_is_no_key(service: RunningService) -> None:
    refused = service.client.post("/admin/drift/reset", headers={"Authorization": "Bearer anything"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_the_other_routes(service: RunningService, image_bundle_path: Path) -> None:
    client, bundle = service.client, load(image_bundle_path)
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    info = client.get("/info").json()
    assert (info["model"], info["version"], info["sha256"]) == ("toy", "1", bundle.sha256)
    assert info["providers"] == ["CPUExecutionProvider"]
    assert info["max_body_bytes"] == MAX_BODY_BYTES
    assert info["input"]["shape"] == [4, 4, 3]
    for path, status, code in (("/nope", 404, "not_found"), ("/score", 405, "method_not_allowed")):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert client.get("/drift?scores=perhaps").status_code == 422
    reasons = {labels["reason"] for labels, _ in service.metrics()["harmgauge_rejected_total"]}
    assert {"not_found", "method_not_allowed", "invalid_parameters"} <= reasons
    assert "swagger" in client.get("/docs").text
    schema = client.get("/openapi.json").json()
    content = schema["paths"]["/score"]["post"]["requestBody"]["content"]
    binary = {"application/x-npy", "application/octet-stream", "image/png", "image/jpeg"}
    assert set(content) == {"application/json"} | binary
    assert "Problem" in schema["components"]["schemas"]


def test_request_ids_are_taken_or_made(service: RunningService) -> None:
    assert service.client.get("/livez", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    for bad in ("a" * 129, "two words", "caf\u00e9".encode("latin-1")):
        made = service.client.get(
            "/livez", headers=[(b"X-Request-Id", bad if isinstance(bad, bytes) else bad.encode())]
        ).headers["x-request-id"]
        assert made != bad
        assert len(made) == 32


def test_labels_are_routes_not_whatever_a_client_invents(service: RunningService) -> None:
    for number in range(20):
        service.client.get(f"/invented/{number}")
    routes = {labels["route"] for labels, _ in service.metrics()["harmgauge_requests_total"]}
    assert "other" in routes
    assert not any("invented" in route for route in routes)


def test_many_clients_at_once_each_get_their_own_answers(service: RunningService, image_bundle_path: Path) -> None:
    import asyncio

    runtime = OnnxRuntime(load(image_bundle_path), "cpu")

    async def client(session: httpx.AsyncClient, number: int) -> None:
        rows = instances(1 + number % 5, SHAPE, seed=1000 + number)
        answer = (await session.post("/score", content=rows.tobytes(), headers=RAW)).json()
        np.testing.assert_allclose(answer["scores"], runtime.run(rows).score, atol=1e-5)

    async def everybody() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=30) as session:
            await asyncio.gather(*(client(session, number) for number in range(300)))

    asyncio.run(everybody())


def test_a_jpeg_is_close_to_its_original(service: RunningService) -> None:
    image = np.full(SHAPE, 120, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95)
    answer = service.client.post("/score", content=stream.getvalue(), headers={"Content-Type": "image/jpeg"}).json()
    expected = service.score(image[None])
    np.testing.assert_allclose(as_float32(answer["scores"]), as_float32(expected["scores"]), rtol=0.2)


def test_a_large_json_body_does_not_stop_the_loop(image_bundle_path: Path) -> None:
    rows = instances(60_000, SHAPE)
    good = json.dumps({"instances": rows.tolist(), "parameters": {"probabilities": False}}).encode()
    with running_service(image_bundle_path, max_queue_rows=60_000, workers=1) as service:
        answers: list[httpx.Response] = []
        bodies = [good, good.replace(b"]]]]", b"], 7]]]"), b'{"instances":[' + b"[]," * 4_000_000 + b"[]]}"]

        def post() -> None:
            answers.extend(
                httpx.post(f"{service.client.base_url}/score", content=body, headers=JSON) for body in bodies
            )

        client = threading.Thread(target=post)
        client.start()
        longest_seconds = 0.0
        while client.is_alive():
            begin = time.monotonic()
            assert service.client.get("/livez").status_code == 200
            longest_seconds = max(longest_seconds, time.monotonic() - begin)
        assert [answer.status_code for answer in answers] == [200, 422, 422]
        assert len(answers[0].json()["scores"]) == 60_000
        assert longest_seconds < 1.5, "nothing else was answered while a body was read"
