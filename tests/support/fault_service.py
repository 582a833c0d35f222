"""The service with the faulty runtime, and helpers for its tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.clients import whole
from tests.support.own_value import row
from tests.support.process import RAW, RunningService, running_module, saved_state, wait_until


@contextmanager
def faulty_service(own_bundle: Path, **settings: object) -> Iterator[RunningService]:
    with running_module("tests.support.faulty", own_bundle, settings, fresh=False) as service:
        assert service.score(row(0))["scores"] == [0]
        yield service


def post(service: RunningService, number: int, asks: float = 0) -> httpx.Response:
    return service.client.post("/score", content=row(number, asks).tobytes(), headers=RAW)


def send(service: RunningService, number: int, asks: float = 0, *headers: str) -> socket.socket:
    """Send a request whose response is read later."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    connection.sendall(whole(number, asks, "Connection: close", *headers))
    return connection


def answer_of(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(10_000), b""))


def live(service: RunningService) -> tuple[int, int]:
    return service.client.get("/livez").status_code, service.client.get("/readyz").status_code


def state_file(folder: Path) -> Path:
    return next(file for file in folder.glob("drift-*.npz"))


def _saved_at(folder: Path) -> list[int]:
    return [file.stat().st_mtime_ns for file in folder.glob("drift-*.npz")]


def wait_for_saves(folder: Path, times: int) -> None:
    """Wait until the state has been saved this many more times."""
    for _ in range(times):
        before = _saved_at(folder)
        wait_until(lambda before=before: _saved_at(folder) != before, timeout_seconds=10)


def saved_rows(folder: Path) -> list[int]:
    """The numbers whose scores are in the saved state of a folder; none before there is one."""
    return [int(score) for score in saved_state(folder).get("score_ks/scores", ())]
