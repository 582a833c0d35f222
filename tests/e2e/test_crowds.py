"""Crowds of connections, endless heads and responses that are never read: others are served, and memory stays small."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.memory import MEBIBYTE, peak_bytes, resident_bytes
from tests.support.process import NO_TLS, RAW, RunningService, fresh_service, running_service, wait_until
from tests.support.toy import instances, toy_bundle

SHAPE = (4, 4, 3)
GOOD = instances(2, SHAPE)
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
MAX_CONNECTIONS = 300


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    limits = {"max_connections": MAX_CONNECTIONS, "connection_timeout_seconds": 60}
    with fresh_service(image_bundle_path, **limits) as running:
        yield running


def connect(service: RunningService, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    connection.sendall(sent)
    return connection


def answer_to(service: RunningService, sent: bytes) -> bytes:
    with connect(service, sent) as connection, connection.makefile("rb") as answer:
        return answer.readline()


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("fields", [99, 100, 15_000])
def test_the_fields_of_a_head_are_counted(service: RunningService, fields: int) -> None:
    head = GET + b"a:\r\n" * fields + b"Connection: close\r\n\r\n"
    status = b"200" if fields + 2 <= 100 else b"431"
    assert answer_to(service, head).split()[1] == status


def test_the_fields_of_trailers_are_counted_and_none_passes_for_one_of_the_head(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path) as service:
        body = GOOD.tobytes()
        head = b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n%s\r\n"
        chunks = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
        typed = b"Content-Type: application/octet-stream\r\n"
        deadline = b"X-Harmgauge-Deadline-Seconds: wrong\r\n"
        assert b"200" in answer_to(service, head % typed + chunks + deadline + b"\r\n")
        assert b"415" in answer_to(service, head % b"" + chunks + typed + b"\r\n")
        assert b"200" not in answer_to(service, head % typed + chunks + b"a:\r\n" * 15_000 + b"\r\n")
        assert service.score(GOOD)["scores"]


def test_half_heads_on_every_connection_take_little(service: RunningService) -> None:
    """Each head is as large as allowed; together they are 64 MiB."""
    before = resident_bytes(service.process.pid)
    field = b"X-Pad: " + b"a" * 900 + b"\r\n"
    with ExitStack() as open_connections:
        for number in range(2 * MAX_CONNECTIONS):
            with suppress(OSError):
                open_connections.enter_context(connect(service, GET + field * 65))
            if number % 30 == 0:
                assert b"200" in answer_to(service, GET + b"Connection: close\r\n\r\n")
    assert resident_bytes(service.process.pid) - before < 100 * MEBIBYTE


def test_a_crowd_that_says_nothing_keeps_nobody_out(service: RunningService) -> None:
    with ExitStack() as open_connections:
        crowd = [open_connections.enter_context(connect(service)) for _ in range(2 * MAX_CONNECTIONS)]
        wait_until(lambda: sum(map(is_closed, crowd)) >= MAX_CONNECTIONS)
        assert (
            httpx.post(
                f"{service.client.base_url}/score", content=GOOD.tobytes(), headers=RAW, verify=NO_TLS
            ).status_code
            == 200
        )
        assert not is_closed(crowd[-1]), "the oldest go first"


def test_bodies_that_do_not_go_on_keep_nobody_out(service: RunningService) -> None:
    """Even if every connection has begun a valid request."""
    head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 96\r\n\r\n"
    with ExitStack() as open_connections:
        for _ in range(MAX_CONNECTIONS + 20):
            open_connections.enter_context(connect(service, head + b"\0"))
        assert (
            httpx.post(
                f"{service.client.base_url}/score", content=GOOD.tobytes(), headers=RAW, verify=NO_TLS
            ).status_code
            == 200
        )


def test_requests_sent_ahead_are_worked_on_only_as_their_answers_are_taken(service: RunningService) -> None:
    """40 connections request 4,000 files of 1.4 MB: a response that is not read is not followed by another."""
    ask = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    assert service.client.get("/docs/swagger-ui-bundle.js").status_code == 200
    answered = requests(service)
    assert answered == 1
    before = resident_bytes(service.process.pid)
    with ExitStack() as open_connections:
        for _ in range(40):
            connection = open_connections.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", service.port))
            connection.sendall(ask * 100)
        time.sleep(1)
        made = requests(service) - answered
        assert made < 40 * 100 / 5, "the system's own buffers take some"
        assert resident_bytes(service.process.pid) - before < 100 * MEBIBYTE
        assert service.score(GOOD)["scores"]


def requests(service: RunningService) -> float:
    return sum(
        count for labels, count in service.metrics()["harmgauge_requests_total"] if labels["route"] == "/docs/{name}"
    )


def test_answers_that_nobody_takes_are_few(tmp_path: Path) -> None:
    """16 MiB of rows in each request, whose probabilities are 50 MB; one response is read slowly, as long as its client
    likes.
    """
    rows = instances(4000, (1000,), "float32")
    ask = b"POST /score?probabilities=true HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    ask += b"Content-Length: %d\r\n\r\n" % rows.nbytes
    with (
        fresh_service(toy_bundle(tmp_path, shape=(1000,), dtype="float32", classes=1000)) as service,
        ExitStack() as open_connections,
    ):
        answers = []
        for _ in range(8):
            connection = open_connections.enter_context(connect(service, ask + rows.tobytes()))
            answers.append(connection.recv(12))
        assert set(answers) == {b"HTTP/1.1 200", b"HTTP/1.1 429"}
        assert peak_bytes(service.process.pid) < 500 * MEBIBYTE
        assert service.score(rows[:1])["scores"]


def test_the_peak_of_all_this_is_small(service: RunningService) -> None:
    assert peak_bytes(service.process.pid) < 400 * MEBIBYTE
