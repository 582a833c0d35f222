"""Requests that start as soon as they have been parsed, and direct calls instead of messages."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from harmgauge.api.exchange import Exchange
from harmgauge.api.scope import EXCHANGE
from harmgauge.server.pipelined import PipelinedHttpProtocol
from tests.support.transport import Transport, rounds

pytestmark = pytest.mark.anyio

POST = b"POST /score?a=%20b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
HEADERS = [(b"content-length", b"2")]

App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]


def connected(app: App, *, is_prompt: bool = True) -> tuple[PipelinedHttpProtocol, Transport]:
    protocol = PipelinedHttpProtocol(
        Config(app, lifespan="off"), ServerState(), {}, is_prompt=lambda scope: is_prompt and scope["method"] == "POST"
    )
    transport = Transport()
    protocol.connection_made(transport)
    return protocol, transport


async def echo(scope: Any, receive: Any, send: Any) -> None:
    exchange: Exchange = scope[EXCHANGE]
    body = exchange.whole_body()
    assert body is not None
    assert exchange.answer(200, [(b"content-length", b"%d" % len(body))], bytes(body))


async def test_a_whole_request_is_answered_without_a_task() -> None:
    protocol, transport = connected(echo)
    protocol.data_received(POST)
    assert not protocol.tasks
    assert protocol.cycle.response_complete
    await rounds()
    assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert transport.written.endswith(b"\r\ncontent-length: 3\r\n\r\nabc")


async def test_a_client_that_does_not_wait_for_permission_to_continue_gets_none() -> None:
    protocol, transport = connected(echo)
    protocol.data_received(POST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nExpect: 100-continue\r\n"))
    await rounds()
    assert transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert transport.written.endswith(b"abc")


async def test_requests_sent_together_are_answered_in_their_order() -> None:
    protocol, transport = connected(echo)
    protocol.data_received(b"".join(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n%d" % number for number in range(9)))
    await rounds(60)
    assert [part[-1:] for part in transport.written.split(b"HTTP/1.1 200 OK")[1:]] == [b"%d" % n for n in range(9)]


async def test_a_request_that_waits_goes_on_in_a_task_with_its_own_context() -> None:
    name = contextvars.ContextVar("name", default="nobody")
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        name.set("mine")
        seen.append(asyncio.current_task())
        seen.append(await future)
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        seen.append(name.get())
        scope[EXCHANGE].answer(200, HEADERS, b"ok")

    protocol, transport = connected(app)
    asyncio.get_running_loop().call_soon(protocol.data_received, POST)  # as the event loop does
    await asyncio.sleep(0)
    assert name.get() == "nobody"
    future.set_result("result")
    await rounds()
    assert seen == [None, "result", "mine"]
    assert transport.written.endswith(b"ok")
    assert not protocol.tasks


async def test_an_exception_of_what_it_waits_for_and_its_cancellation_reach_it() -> None:
    caught: list[str] = []
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for awaited in (future, asyncio.Event().wait()):
            try:
                await awaited
            except (ValueError, asyncio.CancelledError) as error:
                caught.append(type(error).__name__)
        scope[EXCHANGE].answer(503, HEADERS, b"no")

    protocol, transport = connected(app)
    protocol.data_received(POST)
    (task,) = protocol.tasks
    future.set_exception(ValueError())
    await rounds()
    task.cancel()
    await rounds()
    assert caught == ["ValueError", "CancelledError"]
    assert transport.written.endswith(b"no")


@pytest.mark.parametrize(("sent", "rest"), [(POST[:-1], POST[-1:]), (POST.replace(b"POST", b"PUT"), b"")])
async def test_an_incomplete_request_and_any_other_begins_in_a_task(sent: bytes, rest: bytes) -> None:
    tasks: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.current_task())
        message = await receive()
        while message["more_body"]:
            message = await receive()
        scope[EXCHANGE].answer(200, HEADERS, b"ok")

    protocol, transport = connected(app)
    protocol.data_received(sent)
    assert len(protocol.tasks) == 1
    await rounds()
    if rest:
        protocol.data_received(rest)
        await rounds()
    assert None not in tasks
    assert transport.written.endswith(b"ok")


async def test_the_scope_has_the_parsed_target() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        scope[EXCHANGE].answer(200, HEADERS, b"ok")

    protocol, _ = connected(app)
    for target in (b"/a%20b?c=%20", b"/" + b"x" * 1000, b"http://host/path?q"):
        protocol.data_received(b"POST %b HTTP/1.0\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n" % target)
    assert [(scope["path"], scope["query_string"]) for scope in scopes[:1]] == [("/a b", b"c=%20")]
    assert scopes[0]["raw_path"] == b"/a%20b"
    assert scopes[0]["http_version"] == "1.0"


async def test_a_response_that_the_client_does_not_take_goes_through_messages() -> None:
    protocol, transport = connected(echo)
    exchanges: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchanges.append(scope[EXCHANGE])
        await asyncio.Event().wait()

    protocol, transport = connected(app)
    protocol.data_received(POST)
    protocol.pause_writing()
    assert not exchanges[0].answer(200, HEADERS, b"ok")
    protocol.resume_writing()
    assert exchanges[0].answer(200, HEADERS, b"ok")
    assert not exchanges[0].answer(200, HEADERS, b"ok"), "only once"
    await rounds()
    assert transport.written.endswith(b"ok")
    for task in protocol.tasks:
        task.cancel()


async def test_the_exchange_of_a_client_that_left_drops_the_response() -> None:
    left: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchange = scope[EXCHANGE]
        left.append(exchange.has_left())
        await asyncio.sleep(0)
        left.append(exchange.has_left())
        assert exchange.answer(200, HEADERS, b"ok")

    protocol, transport = connected(app)
    protocol.data_received(POST)
    protocol.connection_lost(None)
    await rounds()
    assert left == [False, True]
    assert transport.written == b""


async def test_close_is_honoured_and_announced() -> None:
    protocol, transport = connected(echo)
    protocol.data_received(POST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
    await rounds()
    assert transport.closed
    assert b"connection: close\r\n\r\nabc" in transport.written


async def test_an_exchange_leaves_no_reference_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        protocol, _ = connected(echo)
        protocol.data_received(POST)
        first = weakref.ref(protocol.cycle)
        await rounds()
        protocol.data_received(POST)
        await rounds()
        assert first() is None
    finally:
        gc.enable()
