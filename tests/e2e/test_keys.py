"""Keys over HTTP, against the real process: permissions with and without keys."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from harmgauge.auth.keys import new_key
from tests.support.keys import ADMIN, API, METRICS, ROWS, V2, ask, rejected, settings
from tests.support.process import RAW, RunningService, run_here, running_service, wait_until
from tests.support.prometheus import running_prometheus

KINDS = {"nobody": None, "api": API[0], "metrics": METRICS[0], "admin": ADMIN[0]}
FREE = [
    "/livez",
    "/readyz",
    "/v2/health/live",
    "/v2/health/ready",
    "/",
    "/docs",
    "/openapi.json",
    "/page/main.js",
    "/docs/start.js",
]


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, **settings()) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "may"),
    [
        ("POST", "/score", {"api", "admin"}),
        ("POST", "/v2/models/toy/infer", {"api", "admin"}),
        ("POST", "/v2/models/toy/versions/1/infer", {"api", "admin"}),
        ("GET", "/v2", {"api", "admin"}),
        ("GET", "/v2/models/toy", {"api", "admin"}),
        ("GET", "/v2/models/toy/ready", {"api", "admin"}),
        ("GET", "/info", {"api", "metrics", "admin"}),
        ("GET", "/drift", {"api", "metrics", "admin"}),
        ("GET", "/drift?scores=true", {"api", "metrics", "admin"}),
        ("GET", "/metrics", {"api", "metrics", "admin"}),
        ("GET", "/page/state", {"api", "metrics", "admin"}),
        ("GET", "/page/about", {"api", "metrics", "admin"}),
        ("GET", "/page/info", {"api", "metrics", "admin"}),
        ("GET", "/page/history", {"api", "metrics", "admin"}),
        ("POST", "/admin/drift/reset", {"admin"}),
    ],
)
def test_every_kind_of_key_opens_its_own(service: RunningService, method: str, path: str, may: set[str]) -> None:
    body: dict[str, Any] = {}
    if path == "/score":
        body = {"content": ROWS.tobytes(), "headers": RAW}
    elif path.endswith("infer"):
        body = {"json": V2}
    for kind, key in KINDS.items():
        answer = ask(service, method, path, key, **body)
        if kind in may:
            assert answer.status_code == 200, (kind, answer.text)
            continue
        assert answer.status_code == (401 if kind == "nobody" else 403)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] == ("unauthorized" if kind == "nobody" else "forbidden")
        assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", FREE)
def test_health_and_what_holds_no_data_need_no_key(service: RunningService, path: str) -> None:
    for key in (None, "wrong"):
        assert ask(service, "GET", path, key).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/drift/features",
        "/drift/embedding",
        "/drift/columns",
        "/drift/",
        "/metrics/",
        "/page/%73tate",
        "/SCORE",
    ],
)
def test_no_spelling_of_a_path_leads_around_it(service: RunningService, path: str) -> None:
    assert ask(service, "GET", path, None).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", f"Basic {API[0]}", API[0], f"Bearer {API[1]}", "Bearer \xe4"],
    ids=["nothing", "no key", "wrong", "basic", "no scheme", "the line", "no ASCII"],
)
def test_what_is_no_key_is_refused_and_counted(service: RunningService, header: str) -> None:
    before = rejected(service, "unauthorized")
    headers = [(b"authorization", header.encode("latin-1")), (b"content-type", b"application/octet-stream")]
    answer = service.client.post("/score", content=ROWS.tobytes(), headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert rejected(service, "unauthorized") == before + 1


def test_the_scheme_is_written_as_one_likes(service: RunningService) -> None:
    for scheme in ("bearer", "BEARER"):
        headers = {**RAW, "Authorization": f"{scheme} {API[0]}"}
        assert service.client.post("/score", content=ROWS.tobytes(), headers=headers).status_code == 200


def test_the_answer_does_not_wait_for_the_body(service: RunningService) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 48\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_body_that_nobody_may_send_does_no_harm_to_the_connection(service: RunningService) -> None:
    for _ in range(3):
        refused = ask(service, "POST", "/score", None, content=bytes(30 * 2**20), headers=RAW)
        assert refused.status_code == 401
    assert ask(service, "POST", "/score", API[0], content=ROWS.tobytes(), headers=RAW).status_code == 200


def test_the_openapi_page_says_how_a_key_is_sent(service: RunningService) -> None:
    document = service.client.get("/openapi.json").json()
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["paths"]["/drift"]["get"]["security"]


def test_no_key_is_logged(service: RunningService) -> None:
    log = "".join(service.log)
    assert not any(key in log for key, _ in (API, METRICS, ADMIN))


def test_open_names_what_needs_none(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, **settings(open="metrics")) as service:
        for path, status in (("/metrics", 200), ("/page/state", 401), ("/drift", 401)):
            assert ask(service, "GET", path, None).status_code == status
    with running_service(image_bundle_path, open="api", admin_keys=ADMIN[1]) as service:
        for path, status in (("/info", 200), ("/drift", 200), ("/page/state", 401), ("/metrics", 401)):
            assert ask(service, "GET", path, None).status_code == status
        assert service.score(ROWS)["scores"]
        assert ask(service, "GET", "/metrics", ADMIN[0]).status_code == 200


def test_the_network_is_answered_where_the_settings_say_so(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, host="0.0.0.0", open="all") as service:
        assert service.score(ROWS)["scores"]
        assert service.client.post("/admin/drift/reset").status_code == 403
    with running_service(image_bundle_path, host="0.0.0.0", client_key=API[0], api_keys=API[1]) as service:
        assert service.score(ROWS)["scores"]


def test_keys_are_rotated_while_it_runs(image_bundle_path: Path, tmp_path: Path) -> None:
    (old, old_line), (new, new_line) = new_key("shop"), new_key("shop")
    file = tmp_path / "keys"
    file.write_text(f"# who may\n{old_line}\n")

    with running_service(image_bundle_path, api_keys_file=file, api_keys=API[1]) as service:

        def status(key: str) -> int:
            return ask(service, "POST", "/score", key, content=ROWS.tobytes(), headers=RAW).status_code

        assert (status(old), status(new), status(API[0])) == (200, 401, 200)
        file.write_text(f"{old_line}\n{new_line}\n")
        wait_until(lambda: status(new) == 200)
        assert status(old) == 200
        file.write_text("nonsense\n")
        wait_until(lambda: service.said("the previous keys stay in force"))
        assert (status(old), status(new), status(API[0])) == (200, 200, 200)
        file.write_text(f"{new_line}\n")
        wait_until(lambda: status(old) == 401)
        assert (status(new), status(API[0])) == (200, 200)


def test_a_key_is_limited_and_its_neighbour_is_not(image_bundle_path: Path) -> None:
    other, other_line = new_key("other")
    limits = settings(api_keys=f"{API[1]},{other_line}", rows_per_second_per_key=0.5)
    with running_service(image_bundle_path, **limits) as service:

        def post(key: str) -> httpx.Response:
            return ask(service, "POST", "/score", key, content=ROWS.tobytes(), headers=RAW)

        assert post(API[0]).status_code == 200, "a full bucket lets a larger request through"
        refused = post(API[0])
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 6
        assert ask(service, "POST", "/v2/models/toy/infer", API[0], json=V2).status_code == 429
        assert ask(service, "GET", "/v2/models/toy", API[0]).status_code == 200, "only what is scored counts"
        assert post(other).status_code == 200
        assert [post(ADMIN[0]).status_code for _ in range(3)] == [200] * 3
        assert rejected(service, "rate_limited") == 2


def test_requests_and_bytes_are_limited_too(image_bundle_path: Path) -> None:
    limits = settings(requests_per_second_per_key=4, bytes_per_second_per_key=100)
    with running_service(image_bundle_path, **limits) as service:
        body = ROWS.tobytes()
        first = ask(service, "POST", "/score", API[0], content=body, headers=RAW)
        assert (first.status_code, len(body) > 100) == (200, True), "a full bucket lets a larger body through"
        refused = ask(service, "POST", "/score", API[0], content=body, headers=RAW)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert "body bytes" in refused.json()["detail"]
        looks = [ask(service, "GET", "/drift", key) for key in (METRICS[0], API[0]) for _ in range(20)]
        assert {look.status_code for look in looks} == {200, 429}
        assert "requests per second" in next(look for look in looks if look.status_code == 429).json()["detail"]
        assert all(ask(service, "GET", "/readyz", API[0]).status_code == 200 for _ in range(20))
        assert all(ask(service, "GET", "/drift", ADMIN[0]).status_code == 200 for _ in range(20))


def test_unfinished_bodies_of_one_key_keep_no_other_out(image_bundle_path: Path) -> None:
    """Together they may hold a quarter of all bytes; the rest is for others."""
    other, other_line = new_key("other")
    limits = settings(
        api_keys=f"{API[1]},{other_line}",
        max_body_bytes=2**20,
        max_bodies_bytes=8 * 2**20,
        max_queue_rows=100_000,
        deadline_seconds=30,
    )
    with running_service(image_bundle_path, **limits) as service, ExitStack() as open_connections:
        head = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API[0]}\r\n"
        head += f"Content-Type: application/octet-stream\r\nContent-Length: {2**20}\r\n\r\n"
        for _ in range(12):
            connection = open_connections.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            with suppress(OSError):  # rejected in the middle of the body
                connection.sendall(head.encode() + bytes(2**20 - 1))
        wait_until(lambda: rejected(service, "queue_full") == 10)
        large = ask(service, "POST", "/score", other, content=bytes(2**20 - 2**20 % 48), headers=RAW)
        assert large.status_code == 200
        assert ask(service, "POST", "/score", API[0], content=ROWS.tobytes(), headers=RAW).status_code == 200


def test_prometheus_scrapes_with_a_key(service: RunningService, tmp_path: Path) -> None:
    with running_prometheus(tmp_path, "", [service.port], key=METRICS[0]) as prometheus:
        wait_until(lambda: (prometheus.value("up"), prometheus.value("harmgauge_ready")) == (1, 1))


def test_demo_speaks_with_a_key(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, **settings()) as service:
        done = run_here("demo", bundle=image_bundle_path, port=service.port, client_key=API[0])
        assert done.returncode == 0, done.stderr
        missing = run_here("demo", bundle=image_bundle_path, port=service.port)
        assert missing.returncode == 1
        assert "HARMGAUGE_CLIENT_KEY" in missing.stderr


def test_the_command_makes_a_key_that_opens(image_bundle_path: Path) -> None:
    done = run_here("key", "shop")
    key, line = (text.split()[1] for text in done.stdout.splitlines())
    with running_service(image_bundle_path, client_key=key, api_keys=line) as service:
        assert service.score(ROWS)["scores"]
    refused = run_here("key", "no name")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is not a valid key name" in refused.stderr


def test_check_shows_no_secret(image_bundle_path: Path) -> None:
    done = run_here("check", bundle=image_bundle_path, client_key=API[0], **settings())
    assert done.returncode == 0, done.stderr
    assert not any(secret in done.stdout for pair in (API, METRICS, ADMIN) for secret in pair)
