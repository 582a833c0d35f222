"""When idle connections are closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from harmgauge.server.connections import Connections
from harmgauge.server.repeated import RepeatingHttpProtocol
from tests.support.transport import Transport, rounds
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\n\r\n"
LOOK_SECONDS, KEEP_ALIVE_SECONDS = 0.05, 1


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def connected() -> tuple[RepeatingHttpProtocol, Transport]:
    protocol = RepeatingHttpProtocol(
        Config(answer, lifespan="off", timeout_keep_alive=KEEP_ALIVE_SECONDS),
        ServerState(),
        {},
        timeout_seconds=LOOK_SECONDS,
        everyone=Connections(10),
        refused=lambda _: None,
    )
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport


async def test_after_its_last_response_it_is_kept_for_a_while() -> None:
    loop = asyncio.get_running_loop()
    protocol, transport = connected()
    for _ in range(3):
        protocol.data_received(GET)
        await rounds()
        await asyncio.sleep(3 * LOOK_SECONDS)
        is_stalled = loop.time() - protocol.idle_since >= KEEP_ALIVE_SECONDS  # on an overloaded machine
        assert is_stalled or not transport.is_closing()
    answered = protocol.idle_since
    await until(transport.is_closing)
    assert loop.time() - answered >= KEEP_ALIVE_SECONDS


async def test_without_any_request_it_is_closed_early() -> None:
    begin = asyncio.get_running_loop().time()
    _, transport = connected()
    await until(transport.is_closing)
    assert asyncio.get_running_loop().time() - begin >= LOOK_SECONDS
    assert not transport.written
