"""Requests that wait behind another on their connection, as the event loop's transport sees them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.server import ServerState

from harmgauge.server.pipelined import MAX_WAITING_REQUESTS, PipelinedHttpProtocol
from tests.support.transport import Transport, rounds

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\n\r\n"


class Application:
    """Answers when allowed; records the sizes of the bodies."""

    def __init__(self) -> None:
        self.go_on, self.bodies = asyncio.Event(), list[int]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        size, message = 0, await receive()
        while message["more_body"]:
            size += len(message["body"])
            message = await receive()
        self.bodies.append(size + len(message["body"]))
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


def connected(app: Any) -> tuple[PipelinedHttpProtocol, Transport]:
    protocol = PipelinedHttpProtocol(Config(app, lifespan="off"), ServerState(), {})
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport


async def test_a_body_sent_ahead_stays_with_the_client_until_its_request_has_begun() -> None:
    app = Application()
    protocol, transport = connected(app)
    size = 4 * HIGH_WATER_LIMIT
    protocol.data_received(GET + b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
    protocol.flow.resume_reading()
    assert transport.is_reading(), "a few bytes ahead may come"
    protocol.data_received(bytes(HIGH_WATER_LIMIT + 1))
    await rounds()
    protocol.flow.resume_reading()  # like a check whether the client is still connected
    assert not transport.is_reading()
    app.go_on.set()
    await rounds()
    assert transport.is_reading()
    protocol.data_received(bytes(size - HIGH_WATER_LIMIT - 1))
    await rounds()
    assert app.bodies == [0, size]
    assert transport.written.count(b"HTTP/1.1 204") == 2


async def test_requests_sent_ahead_are_answered_in_turn_up_to_a_bound() -> None:
    app = Application()
    protocol, transport = connected(app)
    protocol.data_received(GET * (1 + MAX_WAITING_REQUESTS))
    await rounds()
    app.go_on.set()
    await rounds(10 * MAX_WAITING_REQUESTS)
    assert transport.written.count(b"HTTP/1.1 204") == 1 + MAX_WAITING_REQUESTS
    assert not transport.closed
