"""Connections that are slow, idle or half-closed, or never read their response: they end, and do not affect others."""

from __future__ import annotations

import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.support import faulty
from tests.support.clients import Client, counted, head, rows_counted, run_clients, whole, window
from tests.support.fault_service import faulty_service
from tests.support.own_value import row
from tests.support.process import RunningService, running_service, wait_until
from tests.support.steady import Held, assert_well

TIMEOUT_SECONDS = 1.0


@pytest.fixture
def service(own_bundle: Path) -> Iterator[RunningService]:
    with running_service(own_bundle, connection_timeout_seconds=TIMEOUT_SECONDS) as running:
        assert running.score(row(0))["scores"] == [0]
        yield running


def connect(service: RunningService, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    connection.sendall(sent)
    return connection


def drip(connection: socket.socket, data: bytes, seconds: float = 0.05) -> bytes:
    """Send byte after byte until the server stops reading; returns its response."""
    try:
        for index in range(len(data)):
            connection.sendall(data[index : index + 1])
            time.sleep(seconds)
            connection.setblocking(False)
            try:
                return connection.recv(10_000)
            except BlockingIOError:
                pass
            finally:
                connection.settimeout(20)
    except OSError:
        pass
    return b""


def status(service: RunningService, route: str, code: int) -> float:
    totals = service.metrics().get("harmgauge_requests_total", [])
    return sum(value for labels, value in totals if labels == {"route": route, "status": str(code)})


def test_heads_and_bodies_that_drip_are_cut_off_while_others_are_served(service: RunningService) -> None:
    before = Held.by(service)
    answers: list[bytes] = []

    def slow(sent_at_once: bytes, dripped: bytes) -> None:
        with connect(service, sent_at_once) as connection:
            answers.append(drip(connection, dripped))

    loris = [threading.Thread(target=slow, args=(b"POST /score HTTP/1.1\r\n", b"X: " + b"y" * 1000)) for _ in range(20)]
    loris += [
        threading.Thread(target=slow, args=(head(1000, "X-Harmgauge-Deadline-Seconds: 2"), b"z" * 1000))
        for _ in range(20)
    ]
    for thread in loris:
        thread.start()
    numbers, stop = count(1), threading.Event()

    def wait() -> None:
        for thread in loris:
            thread.join()

    ledger = run_clients([Client(service, numbers, stop, way=way, pause_seconds=0.01) for way in (0, 1)], stop, wait)
    assert len(ledger.scored) > 20
    assert (ledger.wrong, ledger.refused, ledger.cut, ledger.torn) == ([], {}, set(), set())
    statuses = sorted(answer[:12] for answer in answers)
    assert statuses == [b"HTTP/1.1 408"] * 20 + [b"HTTP/1.1 504"] * 20
    assert status(service, "other", 408) == 20
    assert counted(service) == {"200": len(ledger.scored) + 1, "504": 20}
    assert_well(service, before)


@pytest.mark.usefixtures("_many_files")
def test_a_thousand_idle_connections_are_closed_and_hold_up_nobody(own_bundle: Path) -> None:
    with running_service(own_bundle, connection_timeout_seconds=6) as service:
        before = Held.by(service)
        idle = [connect(service) for _ in range(1000)]
        wait_until(lambda: Held.by(service).files >= before.files + 1000)
        assert service.score(row(7))["scores"] == [7]
        held = Held.by(service)
        assert held.threads <= before.threads + 5
        assert held.mebibytes < before.mebibytes + 50
        for connection in idle:
            assert connection.recv(1) == b"", "closed, and nothing said: no request had begun"
            connection.close()
        assert_well(service, before)


@pytest.mark.parametrize("path", ["/livez", "/score"])
def test_a_connection_that_stands_still_after_an_answer_is_closed(service: RunningService, path: str) -> None:
    with connect(service, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) as connection:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 ")
        connection.sendall(b"\r\n")  # which ends uvicorn's own timer
        wait_until(lambda: connection.recv(10_000) == b"")


def test_who_closes_his_half_has_left(own_bundle: Path) -> None:
    """To a server, an end of input looks like a disconnect: the request is not scored, or gets its response."""
    with running_service(own_bundle) as service:
        before, answered = Held.by(service), []
        for number in range(1, 101):
            with connect(service, whole(number)) as connection:
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(10_000), b""))
            if answer:
                assert f'"scores":[{number}.0]'.encode() in answer
                answered.append(number)
        wait_until(lambda: sum(counted(service).values()) == 100)
        assert set(answered) <= set(window(service))
        assert rows_counted(service) == counted(service)["200"] == len(window(service))
        assert_well(service, before)


def test_who_never_takes_his_answers_is_cut_off(service: RunningService) -> None:
    before = Held.by(service)
    greedy = []
    for _ in range(10):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", service.port))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        greedy.append(connection)
    wait_until(lambda: Held.by(service).files >= before.files + 10)
    assert service.score(row(9))["scores"] == [9]
    wait_until(lambda: Held.by(service).files <= before.files + 1, 20)
    assert_well(service, before)
    for connection in greedy:
        connection.close()


def test_requests_sent_ahead_without_end_cost_the_connection_and_no_memory(service: RunningService) -> None:
    """Before any key is checked, 128 requests may wait behind the one being answered."""
    before = Held.by(service)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", service.port)) as connection, suppress(OSError):
            for _ in range(1000):
                connection.sendall(b"GET /livez HTTP/1.1\r\n\r\n" * 1000)
            pytest.fail("a million requests were taken in")
    assert Held.peak_mebibytes(service) < before.mebibytes + 16
    assert_well(service, before)


def test_a_hundred_requests_sent_ahead_are_answered_in_turn(service: RunningService) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(b"".join(whole(number) for number in range(100)) + whole(100, 0, "Connection: close"))
        answers = b"".join(iter(lambda: connection.recv(100_000), b""))
    assert [int(number) for number in re.findall(rb'"scores":\[(\d+)\.0\]', answers)] == list(range(101))


def test_an_answer_that_takes_long_is_not_cut_off_by_what_comes_behind_it(own_bundle: Path, release: Path) -> None:
    with faulty_service(own_bundle, connection_timeout_seconds=0.2) as service:
        with connect(service, whole(1, faulty.HANG) + b"POST /score HTTP/1.1\r\nX: ") as connection:
            time.sleep(1)
            release.touch()
            answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"scores":[1.0]' in answer


def test_who_takes_his_answer_slowly_gets_all_of_it(service: RunningService) -> None:
    rows = [row(number) for number in range(4000)]
    body = b"".join(each.tobytes() for each in rows)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", service.port))
    request = head(len(body), "Connection: close", path="/score?probabilities=true") + body
    connection.sendall(request)
    received, begin = [], time.monotonic()
    while piece := connection.recv(4096):
        received.append(piece)
        if time.monotonic() - begin < 4 * TIMEOUT_SECONDS:
            time.sleep(TIMEOUT_SECONDS / 10)
    connection.close()
    answer = b"".join(received)
    length = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(answer.split(b"\r\n\r\n", 1)[1]) == length


def test_no_file_left_for_a_connection_is_no_end(own_bundle: Path) -> None:
    with running_service(own_bundle) as service:
        before = Held.by(service)
        pid = service.process.pid
        old = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (before.files + 20, old[1]))
        crowd = [connect(service, whole(number)) for number in range(60)]
        time.sleep(0.5)
        assert service.process.poll() is None
        for connection in crowd:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

        def is_back() -> bool:
            with suppress(httpx.TransportError):
                return bool(service.score(row(1))["scores"] == [1])
            return False

        wait_until(is_back)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        assert_well(service, before)
