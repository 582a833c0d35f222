"""Connections that the system has accepted but the service has not, when it stops listening."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from collections.abc import Iterator

import pytest

from harmgauge.server import backlog
from harmgauge.server.listening import listen

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="the filter of packets is Linux's"),
]


@pytest.fixture(params=["127.0.0.1", "::"])
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    (found,) = listen(request.param, 0)
    with found:
        found.setblocking(False)
        yield found


def connecting(listening: socket.socket) -> socket.socket:
    """A socket that has sent its first packet."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", listening.getsockname()[1]))
    return client


def is_open(client: socket.socket, seconds: float) -> bool:
    return bool(select.select([], [client], [], seconds)[1])


async def test_what_waits_is_accepted_and_nothing_new_begins(listening: socket.socket) -> None:
    clients = [connecting(listening) for _ in range(50)]
    assert all(is_open(client, 5) for client in clients), "for them, they are connected"
    accepted: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    loop.add_reader(listening, lambda: accepted.append(listening.accept()[0]))
    await backlog.take_in([listening])
    assert len(accepted) == 50
    late = connecting(listening)
    assert not is_open(late, 0.3), "it gets no reply, and tries again"
    loop.remove_reader(listening)
    listening.close()
    for client, connection in zip(clients, accepted, strict=True):
        connection.sendall(b"hello")
        client.setblocking(True)
        client.settimeout(5)
        assert client.recv(10) == b"hello"
        client.sendall(b"x")
        connection.close()
        client.close()
    assert is_open(late, 30), "its second try is answered"
    assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111, "refused, not reset"
    late.close()


async def test_a_busy_loop_is_waited_for(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts only one connection in each of its iterations."""
    monkeypatch.setattr(backlog, "HANDSHAKE_SECONDS", 0)
    clients = [connecting(listening) for _ in range(20)]
    assert all(is_open(client, 5) for client in clients)
    taken = asyncio.create_task(backlog.take_in([listening]))
    for count in range(20):
        for _ in range(3):
            await asyncio.sleep(0)
        assert not taken.done(), count
        listening.accept()[0].close()
    await asyncio.wait_for(taken, 5)
    for client in clients:
        client.close()


async def test_a_system_without_such_filters_stops_as_ever(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_SO_ATTACH_FILTER", 9999)
    client = connecting(listening)
    await asyncio.wait_for(backlog.take_in([listening]), 5)
    again = connecting(listening)
    assert is_open(client, 5)
    assert is_open(again, 5)
    client.close()
    again.close()
