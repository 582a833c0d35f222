"""The real process over HTTP: its responses, and that bad input leaves no trace."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from harmgauge.bundle.load import load
from harmgauge.inference.runtime import OnnxRuntime
from tests.e2e.conftest import MAX_BODY_BYTES
from tests.support.bodies import NAN, npy, picture
from tests.support.process import NO_TLS, RAW, RunningService, as_float32, running_service
from tests.support.toy import instances

SHAPE = (4, 4, 3)
JSON = {"Content-Type": "application/json"}
RAW_TYPE = RAW["Content-Type"]


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


def test_compressed_bodies_are_refused_not_misread(service: RunningService) -> None:
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert service.client.post("/score", content=b"\x1f\x8b", headers=headers).status_code == 415


def test_the_other_routes(service: RunningService, image_bundle_path: Path) -> None:
    client, bundle = service.client, load(image_bundle_path)
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    info = client.get("/info").json()
    assert info["detectable"]["warning"] is None
    assert 0 < info["detectable"]["smallest_share"] < 0.1
    assert info["detectable"]["sentence"].startswith("score_evidence detects harmful traffic from a share of about 0.0")
    assert (info["model"], info["version"], info["sha256"]) == ("toy", "1", bundle.sha256)
    assert info["providers"] == ["CPUExecutionProvider"]
    assert info["max_body_bytes"] == MAX_BODY_BYTES
    assert info["input"]["shape"] == [4, 4, 3]
    for path, status, code in (("/nope", 404, "not_found"), ("/score", 405, "method_not_allowed")):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert client.get("/drift?scores=perhaps").status_code == 422
    for path in ("/drift?trace=1", "/drift?Scores=true", "/drift?scores=", "/drift?scores=true&scores=true"):
        assert client.get(path).json()["code"] == "invalid_parameters", path
    for path in ("/metrics?trace=1", "/livez?trace=1", "/readyz?trace=1", "/info?trace=1", "/?trace=1"):
        assert client.get(path).status_code == 200, "proxies and scrapers add parameters of their own"
    reasons = {labels["reason"] for labels, _ in service.metrics()["harmgauge_rejected_total"]}
    assert {"not_found", "method_not_allowed", "invalid_parameters"} <= reasons
    page = client.get("/docs")
    assert "swagger" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    script = client.get("/docs/swagger-ui-bundle.js")
    assert (script.status_code, script.headers["content-encoding"]) == (200, "gzip")
    assert client.get("/docs/redoc.standalone.js").status_code == client.get("/redoc").status_code == 404
    schema = client.get("/openapi.json").json()
    content = schema["paths"]["/score"]["post"]["requestBody"]["content"]
    binary = {"application/x-npy", "application/octet-stream", "image/png", "image/jpeg", "image/webp"}
    assert set(content) == {"application/json"} | binary


def test_every_error_is_described_as_a_problem(service: RunningService) -> None:
    schema = service.client.get("/openapi.json").json()
    reference = {"$ref": "#/components/schemas/Problem"}
    described = 0
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            errors = {status: found for status, found in operation["responses"].items() if status[0] in "45d"}
            assert "default" in errors, (method, path)
            for status, found in errors.items():
                assert found["content"] == {"application/problem+json": {"schema": reference}}, (path, status)
                described += 1
    assert described > 50
    told = service.client.post("/score", json={"instances": "none"}).json()
    assert told.keys() == set(schema["components"]["schemas"]["Problem"]["required"])


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


@pytest.mark.anyio
async def test_many_clients_at_once_each_get_their_own_answers(
    service: RunningService, image_bundle_path: Path
) -> None:
    runtime = OnnxRuntime(load(image_bundle_path), "cpu")

    async def client(session: httpx.AsyncClient, number: int) -> None:
        rows = instances(1 + number % 5, SHAPE, seed=1000 + number)
        answer = (await session.post("/score", content=rows.tobytes(), headers=RAW)).json()
        np.testing.assert_allclose(answer["scores"], runtime.run(rows).score, atol=1e-5)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}", timeout=30, verify=NO_TLS) as session:
        await asyncio.gather(*(client(session, number) for number in range(300)))


def test_a_jpeg_is_close_to_its_original(service: RunningService) -> None:
    image = np.full(SHAPE, 120, np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=95)
    answer = service.client.post("/score", content=stream.getvalue(), headers={"Content-Type": "image/jpeg"}).json()
    expected = service.score(image[None])
    np.testing.assert_allclose(as_float32(answer["scores"]), as_float32(expected["scores"]), rtol=0.2)


def test_a_picture_is_not_read_behind_its_deadline(service: RunningService) -> None:
    body = picture(instances(1, SHAPE)[0], "JPEG", comment=bytes(20_000))
    headers = {"Content-Type": "image/jpeg"}
    late = service.client.post("/score", content=body, headers=headers | {"X-Harmgauge-Deadline-Seconds": "1e-9"})
    assert (late.status_code, late.json()["code"]) == (504, "deadline_passed")
    assert service.client.post("/score", content=body, headers=headers).status_code == 200
