"""The remains of a connection whose client has disconnected."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import uvicorn

from harmgauge.server.connections import Connections
from harmgauge.server.repeated import RepeatingHttpProtocol

CLIENTS = 1000
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SENT = [GET, GET + GET[:20], GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), GET * 3]
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: the close sends a reset


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    uvloop = pytest.importorskip("uvloop")  # does not exist on Windows
    return [asyncio.SelectorEventLoop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", loops(), ids=["asyncio", "uvloop"])
def test_a_thousand_connections_that_were_reset_leave_nothing(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Not even for the cycle collector, which hardly ever runs by itself."""
    alive: weakref.WeakSet[RepeatingHttpProtocol] = weakref.WeakSet()

    class Counted(RepeatingHttpProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's is wider
            alive.add(self)
            super().connection_made(transport)

    async def reset(port: int, sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert (await reader.read(1000)).startswith(b"HTTP/1.1 204")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        writer.transport.abort()

    async def test() -> None:
        made = partial(Counted, timeout_seconds=60, everyone=Connections(2000), refused=lambda status: None)
        config = uvicorn.Config(
            answer,
            port=0,
            http=made,  # type: ignore[arg-type]  # a class to uvicorn, which only calls it
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=75,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        gc.collect()
        gc.disable()
        try:
            for number in range(CLIENTS):
                await reset(port, SENT[number % len(SENT)])
            for _ in range(500):
                if not alive:
                    break
                await asyncio.sleep(0.02)
            assert len(alive) == 0
        finally:
            gc.enable()
            server.should_exit = True
            await serving

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(test())
