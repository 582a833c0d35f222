"""Slow, greedy and disconnected clients: they get what is possible, and do not affect others."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.support.process import NO_TLS, RAW, RunningService, running_service, wait_until
from tests.support.toy import instances

SHAPE = (4, 4, 3)
GOOD = instances(2, SHAPE)
JSON = {"Content-Type": "application/json"}
RAW_TYPE = RAW["Content-Type"]


def test_a_body_without_a_declared_length_is_bounded_too(service: RunningService) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    answer = service.client.post("/score", content=endless(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_far_over_the_limit_still_gets_its_answer(service: RunningService) -> None:
    """Closing with unread data would reset the connection before the client reads the response."""
    answer = service.client.post("/score", content=bytes(20_000_000), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_client_that_hangs_up_in_mid_request(service: RunningService) -> None:
    rows, gone = service.score_ks()["rows"], answered(service, "499")
    body = GOOD.tobytes()
    for sent in (0, 1, len(body) - 1):
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: {RAW_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:sent])
    wait_until(lambda: answered(service, "499") == gone + 3)
    assert service.score_ks()["rows"] == rows
    assert service.score(GOOD)["scores"]
    assert not service.said("Traceback")


def connect(service: RunningService, body_bytes: int, *headers: str) -> socket.socket:
    """A connection on which a request for /score has begun; its body is not sent yet."""
    connection = socket.create_connection(("127.0.0.1", service.port))
    lines = ["POST /score HTTP/1.1", "Host: x", f"Content-Type: {RAW_TYPE}", f"Content-Length: {body_bytes}", *headers]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return connection


def turns(service: RunningService) -> None:
    """Let the service process everything that its connections have received so far, by giving its event loop many
    turns.
    """
    for _ in range(50):
        assert service.client.get("/livez").status_code == 200


def answered(service: RunningService, status: str) -> float:
    totals = service.metrics().get("harmgauge_requests_total", [])
    return sum(count for labels, count in totals if labels == {"route": "/score", "status": status})


def test_clients_that_leave_after_their_whole_body_are_not_scored(image_bundle_path: Path) -> None:
    rows = 300_000  # one by one, they take ten seconds on an idle machine: everything below happens meanwhile
    limits = {"max_batch_rows": 1, "workers": 1, "max_queue_rows": 2 * rows, "deadline_seconds": 600}
    with (
        running_service(image_bundle_path, **limits) as service,
        connect(service, rows * len(GOOD[:1].tobytes())) as first,
    ):
        first.sendall(GOOD[:1].tobytes() * rows)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] > 1000)
        for _ in range(20):
            connection = connect(service, len(GOOD.tobytes()))
            connection.sendall(GOOD.tobytes())
            connection.close()
        turns(service)
        first.close()
        wait_until(lambda: answered(service, "499") == 21)
        assert service.score_ks()["rows"] == 0
        assert service.metrics()["harmgauge_instances_total"] == [({"flag": "clean"}, 0), ({"flag": "adversarial"}, 0)]
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 0)])
        assert answered(service, "200") == 0


def test_a_connection_outlasts_a_pause_between_two_requests(service: RunningService) -> None:
    """By default, uvicorn closes a connection after 5 s: exactly when a client that polls every 5 s sends."""
    with connect(service, len(GOOD.tobytes())) as connection:
        for pause_seconds in (6, 0):
            connection.sendall(GOOD.tobytes())
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
            time.sleep(pause_seconds)
            head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: {RAW_TYPE}\r\nContent-Length: 96\r\n\r\n"
            connection.sendall(head.encode())


def test_a_body_that_does_not_come_in_time_is_told_so(image_bundle_path: Path) -> None:
    deadline = "X-Harmgauge-Deadline-Seconds: 0.3"
    with running_service(image_bundle_path) as service, connect(service, 48, deadline) as slow:
        slow.sendall(b"abc")
        answer = slow.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 504")
        assert b"The body was incomplete" in answer
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
    limits = {"max_body_bytes": 100_000, "max_bodies_bytes": 300_000, "deadline_seconds": 60}
    with running_service(image_bundle_path, **limits) as service, ExitStack() as connections:
        held = [connections.enter_context(connect(service, 100_000)) for _ in range(4)]
        for connection in held:
            connection.sendall(bytes(99_000))
        (refused,), _, _ = select.select(held, [], [], 30)
        refusal = refused.recv(10_000)
        assert refusal.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1" in refusal
        assert service.score(GOOD)["scores"]
        assert select.select([connection for connection in held if connection is not refused], [], [], 0)[0] == []
        connections.close()
        wait_until(lambda: answered(service, "499") == 3)
        assert scored_largest(service), "the bytes are given back"


def test_bodies_that_do_not_come_in_time_give_their_bytes_back(image_bundle_path: Path) -> None:
    with (
        running_service(image_bundle_path, max_body_bytes=100_000, max_bodies_bytes=300_000) as service,
        ExitStack() as connections,
    ):
        deadline = "X-Harmgauge-Deadline-Seconds: 0.5"
        held = [connections.enter_context(connect(service, 100_000, deadline)) for _ in range(3)]
        for connection in held:
            connection.sendall(bytes(99_000))
        for connection in held:
            assert connection.recv(10_000).startswith(b"HTTP/1.1 504")
        assert scored_largest(service)


def scored_largest(service: RunningService) -> bool:
    """Whether a body of almost 100,000 bytes is scored."""
    with connect(service, 99_984) as whole:
        whole.sendall(bytes(99_984))
        return whole.recv(100).startswith(b"HTTP/1.1 200")


def test_a_large_json_body_does_not_stop_the_loop(image_bundle_path: Path) -> None:
    rows = instances(60_000, SHAPE)
    good = json.dumps({"instances": rows.tolist(), "parameters": {"probabilities": False}}).encode()
    with running_service(image_bundle_path, max_queue_rows=60_000, workers=1, deadline_seconds=600) as service:
        answers: list[httpx.Response] = []
        bodies = [good, good.replace(b"]]]]", b"], 7]]]"), b'{"instances":[' + b"[]," * 4_000_000 + b"[]]}"]

        def post() -> None:
            answers.extend(
                httpx.post(f"{service.client.base_url}/score", content=body, headers=JSON, timeout=600, verify=NO_TLS)
                for body in bodies * 2
            )

        client = threading.Thread(target=post)
        started = time.monotonic()
        client.start()
        seconds: list[float] = []
        while client.is_alive():
            begin = time.monotonic()
            assert service.client.get("/livez").status_code == 200
            seconds.append(time.monotonic() - begin)
            time.sleep(0.01)
        assert [answer.status_code for answer in answers] == [200, 422, 422] * 2
        assert len(answers[0].json()["scores"]) == 60_000
        # A body that blocks the loop would do so both times; the machine itself may stall once. Reading a good body
        # takes far more than a twentieth of the whole, even on a machine too busy to answer anything within 1.5 s.
        limit = max(1.5, (time.monotonic() - started) / 20)
        assert sorted(seconds)[-2] < limit, "nothing else was answered while a body was read"
