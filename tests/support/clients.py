"""Clients that check each response: every request is one row whose score is its own number (`own_value.py`)."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import tritonclient.grpc
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from harmgauge.assembly import TRAFFIC
from tests.support.own_value import SHAPE, row
from tests.support.process import RAW, RunningService


def head(body_bytes: int, *headers: str, path: str = "/score") -> bytes:
    """The head of a request for scores with a raw body."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {RAW['Content-Type']}"]
    return "\r\n".join([*lines, f"Content-Length: {body_bytes}", *headers, "", ""]).encode()


def whole(number: int, asks: float = 0, *headers: str) -> bytes:
    """A complete request for the score of one row."""
    body = row(number, asks).tobytes()
    return head(len(body), *headers) + body


@dataclass
class Ledger:
    """The outcome of each number that was sent.

    `scored` numbers came back with their own score, `wrong` ones with another. `refused` ones got a problem document:
    by number, its status and whether it announced that the connection closes. `cut` ones got no byte of a response over
    a connection that had been used before, `cut_at_once` over a new one; `torn` ones got part of a response; `unsent`
    ones could not connect.
    """

    scored: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    refused: dict[int, tuple[int | str, bool]] = field(default_factory=dict)
    cut: set[int] = field(default_factory=set)
    cut_at_once: set[int] = field(default_factory=set)
    torn: set[int] = field(default_factory=set)
    unsent: set[int] = field(default_factory=set)

    def add(self, number: int, score: float) -> None:
        if score == number:
            self.scored.add(number)
        else:
            self.wrong.append(f"{number} was answered with {score}")

    def statuses(self) -> Counter[str]:
        """The number of requests by HTTP status."""
        found = Counter(str(status) for status, _ in self.refused.values())
        found["200"] = len(self.scored)
        return +found


def total(ledgers: Iterable[Ledger]) -> Ledger:
    """All ledgers combined."""
    together = Ledger()
    for ledger in ledgers:
        together.scored |= ledger.scored
        together.wrong += ledger.wrong
        together.refused |= ledger.refused
        together.cut |= ledger.cut
        together.cut_at_once |= ledger.cut_at_once
        together.torn |= ledger.torn
        together.unsent |= ledger.unsent
    return together


class Client(threading.Thread):
    """Sends one row after another until `stop`, over one connection, by `POST /score`, V2 or gRPC.

    All clients share `numbers`: each number is sent once. `pause_seconds` is the time between a response and the next
    request.
    """

    def __init__(
        self,
        service: RunningService,
        numbers: itertools.count[int],
        stop: threading.Event,
        *,
        way: int,
        asks: float = 0,
        pause_seconds: float = 0,
    ) -> None:
        super().__init__()
        self.ledger = Ledger()
        self._port = service.port
        self._grpc_port = grpc_port(service) if way == 2 else 0
        self._numbers = numbers
        self._stop_sending = stop
        self._way = way
        self._asks = asks
        self._pause_seconds = pause_seconds

    def run(self) -> None:
        if self._way == 2:
            with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self._grpc_port}") as client:
                self._send_until_stopped(lambda number: self._call(client, number))
            return
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        self._send_until_stopped(lambda number: self._post(connection, number))
        connection.close()

    def _send_until_stopped(self, send: Callable[[int], None]) -> None:
        while not self._stop_sending.is_set():
            send(next(self._numbers))
            if self._pause_seconds:
                self._stop_sending.wait(self._pause_seconds)

    def _post(self, connection: http.client.HTTPConnection, number: int) -> None:
        new = connection.sock is None
        if new:
            try:
                connection.connect()
            except OSError:
                self.ledger.unsent.add(number)
                self._stop_sending.wait(0.01)
                return
        answer: http.client.HTTPResponse | None = None
        try:
            if self._way == 1:
                rows = row(number, self._asks)
                tensor = {"name": "input", "datatype": "FP32", "shape": [1, *SHAPE], "data": rows.tolist()}
                document = json.dumps({"inputs": [tensor], "outputs": [{"name": "score"}]})
                connection.request("POST", "/v2/models/toy/infer", document)
            else:
                connection.request("POST", "/score", row(number, self._asks).tobytes(), RAW)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            cut = self.ledger.cut_at_once if new else self.ledger.cut
            (cut if answer is None else self.ledger.torn).add(number)
            connection.close()
            return
        if answer.status == 200:
            self.ledger.add(number, content["outputs"][0]["data"][0] if self._way == 1 else content["scores"][0])
        else:
            self.ledger.refused[number] = answer.status, answer.getheader("connection") == "close"

    def _call(self, client: Any, number: int) -> None:
        rows = InferInput("input", [1, *SHAPE], "FP32")
        rows.set_data_from_numpy(row(number, self._asks))
        try:
            answer = client.infer("toy", [rows], outputs=[InferRequestedOutput("score")])
            self.ledger.add(number, answer.as_numpy("score")[0])
        except InferenceServerException as error:
            self.ledger.refused[number] = str(error.status()).removeprefix("StatusCode."), True
            self._stop_sending.wait(0.01)


def grpc_port(service: RunningService) -> int:
    line = next(line for line in service.log if "serving gRPC on" in line)
    return int(line.rsplit(":", 1)[1])


def run_clients(clients: list[Client], stop: threading.Event, work: Callable[[], object]) -> Ledger:
    """Let the clients send while `work` runs; returns all outcomes."""
    for client in clients:
        client.start()
    try:
        work()
    finally:
        stop.set()
        for client in clients:
            client.join()
    return total(client.ledger for client in clients)


def counted(service: RunningService) -> Counter[str]:
    """The requests for scores counted on /metrics, by status; gRPC's OK counts as 200."""
    found: Counter[str] = Counter()
    for labels, value in service.metrics().get("harmgauge_requests_total", []):
        if labels["route"] in TRAFFIC:
            found["200" if labels["status"] == "OK" else labels["status"]] += int(value)
    return found


def window(service: RunningService) -> list[int]:
    """The numbers whose scores are now in the window."""
    return [int(score) for score in service.score_ks(scores=True)["scores"]]


def rows_counted(service: RunningService) -> int:
    return int(sum(value for _, value in service.metrics()["harmgauge_instances_total"]))
