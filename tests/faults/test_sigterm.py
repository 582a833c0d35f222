"""SIGTERM at any moment under load, over `POST /score`, V2 and gRPC: no accepted request is lost.

That is, a request sent completely over a connection that the service had accepted gets its own score, or 503 and the
end of the connection (gRPC: UNAVAILABLE, or CANCELLED). Everything that was scored was answered: the state saved at
exit holds exactly the numbers whose scores clients received. A request over a connection that the service is closing at
the same moment gets no response, as always in HTTP/1.1; it was not scored and may be sent again. This happens only to a
client that was silent for all of `LINGER_SECONDS`. New connections are never cut (`cut_at_once`).
"""

from __future__ import annotations

import json
import random
import signal
import socket
import threading
import time
from itertools import count
from pathlib import Path

import pytest

from tests.support import faulty
from tests.support.clients import Client, Ledger, head, run_clients, whole
from tests.support.fault_service import answer_of, faulty_service, saved_rows, send, wait_for_saves
from tests.support.own_value import row
from tests.support.process import RunningService, running_service, wait_until

CLIENTS = 9
PER_ROUND = 3


def stop_under_load(service: RunningService, chance: random.Random, asks: float) -> Ledger:
    numbers, stop = count(1), threading.Event()
    clients = [Client(service, numbers, stop, way=index % 3, asks=asks) for index in range(CLIENTS)]

    def work() -> None:
        time.sleep(0.2 + chance.random() / 2)
        service.terminate()
        assert service.wait() == 0

    return run_clients(clients, stop, work)


@pytest.fixture
def _long_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faulty.LINGER, "2")


@pytest.mark.usefixtures("_long_linger")
def test_nothing_accepted_is_lost(own_bundle: Path, tmp_path: Path, rounds: int) -> None:
    for seed in range(PER_ROUND * rounds):
        chance, folder = random.Random(seed), tmp_path / str(seed)
        settings = {"state_dir": folder, "feature_mmd": False, "grpc_port": 0, "window_rows": 50_000, "workers": 2}
        with faulty_service(own_bundle, **settings) as service:
            ledger = stop_under_load(service, chance, faulty.SLEEP if seed % 2 else 0)
        assert ledger.wrong == []
        assert ledger.torn == set()
        assert ledger.scored
        for answer, closes in ledger.refused.values():
            assert (answer, closes) in {(503, True), ("UNAVAILABLE", True), ("CANCELLED", True)}
        assert ledger.cut_at_once == set()
        assert ledger.cut == set(), "every connection was in use, so none was closed while a request was on its way"
        assert sorted(saved_rows(folder)) == sorted({0} | ledger.scored), "scored is answered, and answered is counted"


def test_what_the_drain_has_no_time_for_is_told_so(own_bundle: Path, tmp_path: Path) -> None:
    """50 ms per row, 200 rows and two seconds: most are rejected, and all are answered."""
    settings = {"workers": 1, "max_batch_rows": 1, "drain_seconds": 2, "deadline_seconds": 30, "state_dir": tmp_path}
    with faulty_service(own_bundle, feature_mmd=False, **settings) as service:
        waiting = {number: send(service, number, faulty.SLEEP) for number in range(1, 201)}
        wait_until(lambda: service.metrics()["harmgauge_queue_rows"][0][1] > 150)
        begin = time.monotonic()
        service.terminate()
        scored = {0}
        for number, connection in waiting.items():
            answer = answer_of(connection)
            if answer.startswith(b"HTTP/1.1 200"):
                assert f'"scores":[{number}.0]'.encode() in answer
                scored.add(number)
            else:
                assert answer.startswith(b"HTTP/1.1 503"), answer
                assert b"\r\nconnection: close\r\n" in answer.lower()
                assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["code"] == "not_ready"
        assert service.wait() == 0
        assert time.monotonic() - begin < 7
    assert len(scored) > 5
    assert set(saved_rows(tmp_path)) == scored


@pytest.mark.usefixtures("_long_linger")
def test_bodies_that_are_on_their_way_arrive_and_are_answered(own_bundle: Path) -> None:
    with faulty_service(own_bundle) as service:
        body = row(5).tobytes()
        half = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        half.sendall(head(len(body)) + body[:3])
        idle = socket.create_connection(("127.0.0.1", service.port), timeout=20)
        idle.sendall(whole(6))
        assert b'"scores":[6.0]' in idle.recv(10_000)
        service.terminate()
        wait_until(lambda: service.said("draining"))
        time.sleep(0.2)
        idle.sendall(whole(7))
        refused = answer_of(idle)
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"\r\nconnection: close\r\n" in refused.lower()
        half.sendall(body[3:])
        assert b'"scores":[5.0]' in answer_of(half)
        assert service.wait() == 0


def test_large_bodies_in_work_do_not_outlast_the_drain(own_bundle: Path) -> None:
    """Eight JSON bodies of 8 MB, half of them still being read when SIGTERM arrives."""
    rows = [[float(number), 0.0] for number in range(400_000)]
    body = json.dumps({"instances": rows}).encode()
    request = head(len(body)).replace(b"application/octet-stream", b"application/json") + body
    limits = {"max_queue_rows": 4_000_000, "max_bodies_bytes": 2**28, "deadline_seconds": 30}
    with running_service(own_bundle, drain_seconds=1.5, **limits) as service:
        assert service.score(row(0))["scores"] == [0]
        connections = [socket.create_connection(("127.0.0.1", service.port), timeout=20) for _ in range(6)]
        senders = [threading.Thread(target=connection.sendall, args=(request,)) for connection in connections]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        begin = time.monotonic()
        service.terminate()
        assert service.wait() == 0
        assert time.monotonic() - begin < 6
        for connection in connections:
            answer = answer_of(connection)
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")), answer[:200]


def test_kill_9_and_a_restart_lose_the_last_second_and_nothing_else(
    own_bundle: Path, tmp_path: Path, rounds: int
) -> None:
    for seed in range(rounds):
        folder, chance = tmp_path / str(seed), random.Random(seed)
        settings = {"state_dir": folder, "feature_mmd": False, "window_rows": 50_000}
        with running_service(own_bundle, **settings) as service:
            numbers, stop = count(1), threading.Event()
            clients = [Client(service, numbers, stop, way=index % 2, pause_seconds=0.01) for index in range(4)]
            old: set[int] = set()

            def work(
                clients: list[Client] = clients,
                old: set[int] = old,
                service: RunningService = service,
                chance: random.Random = chance,
                folder: Path = folder,
            ) -> None:
                time.sleep(0.3 + chance.random())
                for client in clients:
                    old |= set(client.ledger.scored.copy())
                wait_for_saves(folder, 2)  # the first may have begun before those were scored
                time.sleep(chance.random())
                service.process.send_signal(signal.SIGKILL)
                service.wait()

            ledger = run_clients(clients, stop, work)
        assert ledger.wrong == []
        found = saved_rows(folder)
        assert len(found) == len(set(found))
        assert old
        assert old <= set(found), "what is older than the last save was kept"
        assert set(found) <= ledger.scored | ledger.cut | ledger.torn | ledger.cut_at_once
        with running_service(own_bundle, **settings) as service:
            assert not service.said("set aside")
            assert service.score_ks()["rows"] == len(found)
            assert service.score(row(3))["scores"] == [3]
