"""The effect of the configured bounds on C-core, over real connections."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from harmgauge.api.grpc import options as module
from tests.support.http2 import PING, Http2, frame, message

pytestmark = pytest.mark.anyio

ECHO, WAIT, UNREAD = "/test/echo", "/test/wait", "/test/unread"


@asynccontextmanager
async def server(**changes: Any) -> AsyncIterator[int]:
    """Serves on the yielded port; `wait` answers after a second."""

    async def echo(_: object, context: Any) -> bytes:
        sent: bytes = await context.read()
        return sent

    async def wait(_: object, context: Any) -> bytes:
        await asyncio.sleep(1)
        return b"done"

    async def unread(_: object, context: Any) -> bytes:
        await asyncio.sleep(3600)
        return b""

    given = {"max_message_bytes": 2**20, "handshake_seconds": 1.0, "deadline_seconds": 1.0} | changes
    made = grpc.aio.server(options=module.options(**given))
    handlers = {work.__name__: grpc.stream_unary_rpc_method_handler(work) for work in (echo, wait, unread)}
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = made.add_insecure_port("127.0.0.1:0")
    await made.start()
    try:
        yield port
    finally:
        await made.stop(None)


async def elsewhere(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def seconds_until_all_close(sent: bytes, port: int, number: int = 5) -> float:
    begin = time.monotonic()
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(number)]
    for connection in connections:
        connection.sendall(sent)
    while any(map(is_open, connections)):
        assert time.monotonic() - begin < 30
        time.sleep(0.05)
    for connection in connections:
        connection.close()
    return time.monotonic() - begin


@pytest.mark.parametrize(
    "sent", [b"", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=["silent", "half", "preface"]
)
async def test_a_connection_that_does_not_begin_is_closed(sent: bytes) -> None:
    async with server() as port:
        assert await elsewhere(lambda: seconds_until_all_close(sent, port)) > 0.5


async def test_a_connection_without_a_call_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 1)

    def idle(port: int) -> None:
        with Http2(port) as client:
            begin = time.monotonic()
            while not client.closed:
                client.write(frame(PING, bytes(8)))  # pings are not calls
                client.listen(0.1)
                assert time.monotonic() - begin < 20
            assert client.answered_pings

    async with server() as port:
        await elsewhere(lambda: idle(port))


async def test_a_connection_grows_old_whatever_its_client_leaves_untaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGE_SECONDS", 1)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0)

    def untaken(port: int) -> None:
        with Http2(port, window=0) as client:
            client.call(ECHO, data=message(5, b"hello"), ends=True)
            begin = time.monotonic()
            while not client.closed:
                client.listen(0.1)
                assert time.monotonic() - begin < 20
            assert not client.answer_bytes

    async with server() as port:
        await elsewhere(lambda: untaken(port))


async def test_no_more_connections_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "most_connections", lambda: 3)

    def many(port: int) -> None:
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        time.sleep(0.5)
        assert sum(map(is_open, connections)) == 3
        for connection in connections:
            connection.close()
        end = time.monotonic() + 10
        while True:  # there is room again
            with Http2(port) as client:
                if not client.closed:
                    break
            assert time.monotonic() < end

    async with server(handshake_seconds=60.0) as port:
        await elsewhere(lambda: many(port))


def test_connections_leave_most_files_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, expected in ((400, 100), (2**20, 1024), (-1, 1024)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert module.most_connections() == expected


async def test_what_is_sent_ahead_is_bounded() -> None:
    """On each stream, until the data is read; then more may be sent."""

    def ahead(port: int) -> None:
        with Http2(port) as client:
            streams = [client.call(UNREAD, data=message(900_000)) for _ in range(4)]
            assert client.push(streams, 900_000, 1.0) <= 4 * module.AHEAD_BYTES
            read = client.call(ECHO, data=message(900_000))
            assert client.push([read], 900_000, 10.0) == 900_000
            assert client.push(streams, 900_000, 0.5) <= 16_384

    async with server() as port:
        await elsewhere(lambda: ahead(port))


async def test_clients_may_ping(caplog: pytest.LogCaptureFixture) -> None:
    """By default, C-core ends the connection and the call at the third ping within five minutes."""

    def ask(port: int) -> None:
        often = [
            ("grpc.keepalive_time_ms", 100),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=often) as channel:
            wait = channel.unary_unary(WAIT)
            for _ in range(2):
                assert wait(b"", timeout=20) == b"done"
                threading.Event().wait(1)  # without a call

    async with server() as port:
        await elsewhere(lambda: ask(port))


async def test_a_flood_of_pings_is_ended() -> None:
    def flood(port: int) -> None:
        with Http2(port) as client:
            for _ in range(100):
                client.write(frame(PING, bytes(8)) * 100)
                client.listen(0.01)
                if client.goaway or client.closed:
                    return
            pytest.fail("it takes every one of them")

    async with server() as port:
        await elsewhere(lambda: flood(port))
