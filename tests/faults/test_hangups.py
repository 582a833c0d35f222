"""Clients that disconnect at every stage: nothing is kept, nobody else is affected, and the counters are correct.

A request counts, in the window and as scored, when its response is written to a connection that is open as far as the
service can see. So the window contains exactly the requests answered with 200.
"""

from __future__ import annotations

import socket
import struct
import time
from itertools import count
from pathlib import Path

import pytest

from tests.support import faulty
from tests.support.clients import counted, head, rows_counted, whole, window
from tests.support.fault_service import answer_of, faulty_service, send
from tests.support.own_value import row
from tests.support.process import running_service, wait_until
from tests.support.steady import Held, assert_well

EACH = 30
BODY = row(1).tobytes()


def hang_up(connection: socket.socket, *, reset: bool) -> None:
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_clients_that_leave_before_their_request_is_whole(own_bundle: Path, reset: bool) -> None:
    with running_service(own_bundle) as service:
        assert service.score(row(0))["scores"] == [0]
        before = Held.by(service)
        for sent in (b"", b"PO", head(len(BODY))[:40], head(len(BODY)), head(len(BODY)) + BODY[:5]):
            for _ in range(EACH):
                connection = socket.create_connection(("127.0.0.1", service.port))
                connection.sendall(sent)
                hang_up(connection, reset=reset)
        # A request begins with a whole head; a connection may be reset before its head was read.
        wait_until(lambda: reset or counted(service)["499"] == 2 * EACH)
        assert_well(service, before)
        assert counted(service)["499"] <= 2 * EACH
        assert window(service) == [0, 4_000_000]
        assert rows_counted(service) == 2
        assert not service.said("Traceback")


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_clients_that_leave_while_queued_while_scored_and_thereafter(
    own_bundle: Path, release: Path, reset: bool
) -> None:
    with faulty_service(own_bundle, workers=1, max_batch_rows=4) as service:
        before = Held.by(service)
        numbers = count(1)
        scored_now = send(service, next(numbers), faulty.HANG)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 1)])
        gone, staying = [], {}
        for number in range(100, 100 + 2 * EACH):
            if number % 2:
                gone.append(send(service, number))
            else:
                staying[number] = send(service, number)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 1 + 2 * EACH)])
        for connection in [scored_now, *gone]:
            hang_up(connection, reset=reset)
        time.sleep(0.3)
        release.touch()
        for number, connection in staying.items():
            assert f'"scores":[{number}.0]'.encode() in answer_of(connection)
        wait_until(lambda: counted(service) == {"200": 1 + EACH, "499": 1 + EACH})
        assert sorted(window(service)) == [0, *staying]
        assert rows_counted(service) == 1 + EACH
        assert_well(service, before)


def test_who_sends_ahead_and_leaves_is_scored_for_none_of_it(own_bundle: Path, release: Path) -> None:
    """The server's disconnect event is about the connection, whose current request is the one being answered, not the
    last received.
    """
    with faulty_service(own_bundle, workers=1, max_batch_rows=1) as service:
        busy = send(service, 1, faulty.HANG)
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 1)])
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(whole(2) + whole(3) + whole(4))
            wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 2)])
        release.touch()
        assert b'"scores":[1.0]' in answer_of(busy)
        wait_until(lambda: counted(service) == {"200": 2, "499": 1})  # the others never began
        assert sorted(window(service)) == [0, 1]
        assert rows_counted(service) == 2


def test_clients_that_leave_at_once_or_as_the_answer_is_written(own_bundle: Path, rounds: int) -> None:
    """At random moments: each request is counted either as answered and is in the window, or as gone and is not."""
    with running_service(own_bundle, window_rows=500 * rounds + 100) as service:
        assert service.score(row(0))["scores"] == [0]
        before = Held.by(service)
        for number in range(1, 250 * rounds + 1):
            connection = socket.create_connection(("127.0.0.1", service.port))
            connection.sendall(whole(number))
            if number % 3:
                time.sleep(number % 11 / 4000)
            hang_up(connection, reset=bool(number % 2))
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"] == [({}, 0)])
        assert_well(service, before)
        counts = counted(service)
        assert set(counts) <= {"200", "499"}
        assert counts["200"] == rows_counted(service) == len(set(window(service)))
        assert sum(counts.values()) <= 250 * rounds + 2, "a reset may come before the head"
        assert not service.said("Traceback")
