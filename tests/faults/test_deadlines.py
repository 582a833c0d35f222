"""A storm of deadlines: each request gets its own score or 504, and expired requests cost no inference."""

from __future__ import annotations

import http.client
import json
import random
import threading
from pathlib import Path

from tests.support import faulty
from tests.support.clients import Ledger, counted, rows_counted, total, window
from tests.support.fault_service import faulty_service
from tests.support.own_value import row
from tests.support.process import RAW, RunningService
from tests.support.steady import Held, assert_well

CLIENTS = 40
EACH = 15


def storm(service: RunningService, first: int, ledger: Ledger) -> None:
    """Requests over one connection, with deadlines of 1 ms to 1 s, to a service that takes 50 ms per batch."""
    chance = random.Random(first)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    for number in range(first, first + EACH):
        headers = {**RAW, "X-Harmgauge-Deadline-Seconds": str(chance.choice([0.001, 0.02, 0.06, 0.2, 1]))}
        connection.request("POST", "/score", row(number, faulty.SLEEP).tobytes(), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        if answer.status == 200:
            ledger.add(number, content["scores"][0])
        else:
            ledger.refused[number] = answer.status, False
    connection.close()


def test_a_storm_of_deadlines(own_bundle: Path, rounds: int) -> None:
    with faulty_service(own_bundle, max_batch_rows=4, window_rows=2000) as service:
        before = Held.by(service)
        for turn in range(rounds):
            ledgers = [Ledger() for _ in range(CLIENTS)]
            begin = 1 + turn * CLIENTS * EACH
            threads = [
                threading.Thread(target=storm, args=(service, begin + index * EACH, ledger))
                for index, ledger in enumerate(ledgers)
            ]
            scored = counted(service)["200"]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            ledger = total(ledgers)
            assert ledger.wrong == []
            assert len(ledger.scored) + len(ledger.refused) == CLIENTS * EACH
            assert {status for status, _ in ledger.refused.values()} == {504}
            assert ledger.scored
            assert counted(service)["200"] - scored == len(ledger.scored)
            assert ledger.scored <= set(window(service))
            assert not set(ledger.refused) & set(window(service)), "what was told that it failed counts nowhere"
        assert rows_counted(service) == counted(service)["200"]
        assert_well(service, before)
