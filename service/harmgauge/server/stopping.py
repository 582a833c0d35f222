"""Uvicorn's server with an orderly shutdown: it leaves, drains, and loses no request that it was sent."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, cast

import uvicorn

from harmgauge.app import Service
from harmgauge.server import backlog
from harmgauge.server.connections import Connections
from harmgauge.server.listener import Listener
from harmgauge.settings import Settings

if TYPE_CHECKING:
    from harmgauge.api.grpc.server import GrpcServer

log = logging.getLogger("harmgauge")

LINGER_SECONDS = 0.5
"""Idle connections stay open for this long after SIGTERM, but at most a quarter of the drain.

If they were closed at once, a request in transit would meet a closed socket; instead it is refused with a hint to try
another replica.
"""

GOODBYE_SECONDS = 1.0
"""Minimum time for a client to close its end of a finished connection."""

LAST_WORDS_SECONDS = 1.0
"""Time to answer the requests that the end of the drain cut off."""

LAST_SECONDS = 1.0
"""Time to write captured and traced data if requests took the whole drain; otherwise the rest of the drain."""

TURNS = 10
"""Turns of the event loop: it accepts a connection in one, and reads from it a few turns later."""

TICK_SECONDS = 0.1
"""How often uvicorn checks whether it should stop, and updates its Date header."""


class Server(uvicorn.Server):
    """Uvicorn, which logs its address and fails readiness as soon as it is asked to stop.

    For `lame_duck_seconds` after that it continues to serve, including new connections, for clients that have not
    noticed yet.
    """

    def __init__(self, config: uvicorn.Config, service: Service, settings: Settings, connections: Connections) -> None:
        super().__init__(config)
        self._settings = settings
        self._service = service
        self._connections = connections
        self._listener: Listener | None = None
        self._is_lame_duck = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        if self.config.http == "auto":
            await super().startup(sockets)
        else:
            await self._listen(sockets)
        if self._service.grpc is not None:
            port = await self._service.grpc.start(self._settings.host)
            log.info("serving gRPC on %s", _address(self._settings.host, port))
        self._service.readiness.ready()
        host, port = sockets[0].getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        components = self._service.switch.current.components
        log.info(
            "serving %s/%s on %s (docs at /docs), %s parallel inferences on %s",
            components.bundle.manifest.name,
            components.bundle.manifest.version,
            f"{scheme}://{_address(host, port)}",
            components.workers,
            components.runtime.providers[0],
        )

    async def _listen(self, sockets: list[socket.socket]) -> None:
        protocol = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        self._listener = Listener(
            sockets,
            partial(protocol, config=self.config, server_state=self.server_state, app_state={}),
            self._connections,
            tls=self.config.ssl,
            handshake_seconds=self._settings.connection_timeout_seconds,
        )
        self.servers = [self._listener]  # type: ignore[list-item]  # uvicorn only closes it, and waits for that
        self.started = True
        await asyncio.sleep(0)  # from here on the event loop accepts connections

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._is_lame_duck:  # a second signal ends the wait
            self._is_lame_duck = False
            return
        if self._settings.lame_duck_seconds and not self.should_exit:
            self._is_lame_duck = True
            self._service.readiness.leaving()
            log.info("leaving: /readyz fails, requests are still served for %g s", self._settings.lame_duck_seconds)
        else:
            self._begin_to_drain()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        if self._is_lame_duck:
            await self._be_a_lame_duck()
        end = time.monotonic() + self._settings.drain_seconds
        await _take_in_what_came()
        if self._service.grpc is None:
            await self._drain(sockets)
        else:
            await asyncio.gather(self._drain(sockets), self._stop_grpc(self._service.grpc))
        await self._service.end(lambda: max(LAST_SECONDS, end - time.monotonic()))

    async def _be_a_lame_duck(self) -> None:
        loop = asyncio.get_running_loop()
        end, ticks = loop.time() + self._settings.lame_duck_seconds, 0
        while self._is_lame_duck and loop.time() < end:
            await self.on_tick(ticks)
            ticks += 1
            await asyncio.sleep(min(TICK_SECONDS, max(0.0, end - loop.time())))
        self._is_lame_duck = False
        self._begin_to_drain()

    def _begin_to_drain(self) -> None:
        self._service.readiness.draining()
        log.info("draining: no new connections, up to %g s for requests in flight", self._settings.drain_seconds)

    async def _stop_grpc(self, server: GrpcServer) -> None:
        # It cancels requests that arrive just then; calls in transit are refused by the handler, with the reason.
        lingering = self._lingering_seconds()
        await asyncio.sleep(lingering)
        await server.stop(self._settings.drain_seconds - lingering)

    def _any_handshake(self) -> bool:
        return self._listener is not None and self._listener.any_begins()

    def _lingering_seconds(self) -> float:
        return min(LINGER_SECONDS, self._settings.drain_seconds / 4)

    async def _drain(self, sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await backlog.take_in(sockets)
        for server in self.servers:
            server.close()
        lingering = begin + self._lingering_seconds()
        while (self.server_state.connections or self._any_handshake()) and loop.time() < lingering:
            await asyncio.sleep(0.02)
        await _take_in_what_came()  # including everything that arrived while the machine was suspended
        left_seconds = max(0.0, self._settings.drain_seconds - (loop.time() - begin))
        self.config.timeout_graceful_shutdown = left_seconds  # type: ignore[assignment]  # whole seconds there; real ones work
        hanging_up = asyncio.create_task(self._hang_up())
        await super().shutdown(sockets)
        hanging_up.cancel()
        # The middleware answers the requests that it cancelled.
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_SECONDS)

    async def _hang_up(self) -> None:
        """Over TLS a connection that the server closes stays open until the client closes it too; idle clients never
        do.
        """
        while True:
            await asyncio.sleep(GOODBYE_SECONDS)
            for connection in list(self.server_state.connections):
                transport = getattr(connection, "transport", None)
                if transport is not None and transport.is_closing() and not transport.get_write_buffer_size():
                    transport.abort()


async def _take_in_what_came() -> None:
    """Let the event loop read what clients sent before the signal.

    It may still be in the system's buffers, the longer the busier the service; closing a connection with unread
    requests would reset it, and its client could not tell whether they were scored.
    """
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
