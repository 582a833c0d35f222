"""The running process: listens, says so, and drains when it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Literal, cast

import uvicorn
from prometheus_client import disable_created_metrics

from harmgauge.app import Service, build
from harmgauge.auth import from_settings
from harmgauge.observe.metrics import Metrics
from harmgauge.server.connections import Connections
from harmgauge.server.listener import Listener
from harmgauge.server.listening import BACKLOG, listen
from harmgauge.server.open_files import room_for_connections
from harmgauge.settings import Settings

if TYPE_CHECKING:
    from harmgauge.api.grpc.server import GrpcServer

log = logging.getLogger("harmgauge")

LINGER_SECONDS = 0.5
"""Idle connections stay open so long after SIGTERM, but no longer than a quarter of the drain. Were they closed at
once, a request that is on its way would meet a closed socket; so it is refused, and told to go elsewhere.
"""

LAST_WORDS_SECONDS = 1.0
"""For the answers to requests that the drain's end cut off."""

LAST_SECONDS = 1.0
"""For what is captured and traced to go where it belongs, where requests took all of the drain's time; else what is
left of that.
"""

KEEP_ALIVE_SECONDS = 75
"""An idle connection is kept for so long: longer than the 60 s for which nginx and AWS's load balancer keep theirs to
us. Whoever closes first may do so just as the other sends a request, which then gets no answer; proxies know when they
close theirs. (Uvicorn's own 5 s did that to a client that asked every 5 s.)
"""

TURNS = 10
"""Of the event loop: it accepts a connection in one, reads from it some turns later."""


class Server(uvicorn.Server):
    """Uvicorn, which says where it listens and flips readiness as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, service: Service, settings: Settings, connections: Connections) -> None:
        super().__init__(config)
        self._settings = settings
        self._host = settings.host
        self._service = service
        self._connections = connections
        self._drain_seconds = float(config.timeout_graceful_shutdown or 0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end = time.monotonic() + self._drain_seconds
        await _take_in_what_came()
        if self._service.grpc is None:
            await self._drain(sockets)
        else:
            await asyncio.gather(self._drain(sockets), self._stop_grpc(self._service.grpc))
        await self._service.end(lambda: max(LAST_SECONDS, end - time.monotonic()))

    async def _stop_grpc(self, server: GrpcServer) -> None:
        # It cancels what comes just then; calls on their way are refused by the handler, which says why.
        lingering = self._lingering_seconds()
        await asyncio.sleep(lingering)
        await server.stop(self._drain_seconds - lingering)

    def _lingering_seconds(self) -> float:
        return min(LINGER_SECONDS, self._drain_seconds / 4)

    async def _drain(self, sockets: list[socket.socket] | None) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for server in self.servers:
            server.close()
        lingering = begin + self._lingering_seconds()
        while self.server_state.connections and loop.time() < lingering:
            await asyncio.sleep(0.02)
        await _take_in_what_came()  # where the machine stood still meanwhile, all of that time's
        left_seconds = max(0.0, self._drain_seconds - (loop.time() - begin))
        self.config.timeout_graceful_shutdown = left_seconds  # type: ignore[assignment]
        await super().shutdown(sockets)
        # What it cancelled is told so by the middleware.
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_SECONDS)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        if self.config.http == "auto":
            await super().startup(sockets)
        else:
            self._listen(sockets)
            await asyncio.sleep(0)  # from here on the event loop listens
        if self._service.grpc is not None:
            port = await self._service.grpc.start(self._host)
            log.info("serving gRPC on %s", _address(self._host, port))
        self._service.readiness.ready()
        host, port = sockets[0].getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        components = self._service.switch.current.components
        log.info(
            "serving %s/%s on %s (docs at /docs), %s inferences side by side on %s",
            components.bundle.manifest.name,
            components.bundle.manifest.version,
            f"{scheme}://{_address(host, port)}",
            components.workers,
            components.runtime.providers[0],
        )

    def _listen(self, sockets: list[socket.socket]) -> None:
        protocol = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        make_protocol = partial(protocol, config=self.config, server_state=self.server_state, app_state={})
        listener = Listener(
            sockets,
            make_protocol,
            self._connections,
            tls=self.config.ssl,
            handshake_seconds=self._settings.connection_timeout_seconds,
        )
        self.servers = [listener]  # type: ignore[list-item]  # uvicorn only closes it, and waits for that
        self.started = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.readiness.draining()
        log.info("draining: no new connections, up to %g s for requests in flight", self._drain_seconds)
        super().handle_exit(sig, frame)


async def _take_in_what_came() -> None:
    """Let the event loop accept and read what clients sent before the signal.

    It may still lie in the system's buffers, the longer the busier the service; closing an idle connection, or the
    port, on unread requests would reset them, and their clients could not tell whether they were scored.
    """
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _end(*_: object) -> None:
    """Uvicorn raises the signal again once it has drained: end then, whatever bodies are still read on threads."""
    log.info("stopped")
    logging.shutdown()
    os._exit(0)


def _http_protocol(
    settings: Settings, metrics: Metrics, connections: Connections
) -> type[asyncio.Protocol] | Literal["auto"]:
    try:
        from harmgauge.server.guarded import GuardedHttpProtocol  # noqa: PLC0415 - there is no httptools for Windows
        from harmgauge.server.protocol import check_uvicorn  # noqa: PLC0415
    except ImportError:
        return "auto"
    check_uvicorn()
    made = partial(
        GuardedHttpProtocol,
        timeout_seconds=settings.connection_timeout_seconds,
        everyone=connections,
        refused=lambda status: metrics.answered("other", status, 0.0),
    )
    return cast("type[asyncio.Protocol]", made)


def _spare_the_collector() -> None:
    """Keep Python's cycle collector from the hundreds of thousands of objects that stay for ever.

    Going through them took some 20 ms now and then, in the middle of requests, whose own objects form no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; from the main thread. Blocks, and SIGTERM ends the process.

    Raises BundleError and SettingsError before it listens.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not available on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody here reads
    tls = from_settings.tls_files(settings)
    _spare_the_collector()  # before the bundle's own objects are made: they go when another takes over
    service = build(settings)
    connections = Connections(room_for_connections(settings.max_connections))
    config = uvicorn.Config(
        service.switch,
        interface="asgi3",  # it returns coroutines, and is none
        http=_http_protocol(settings, service.metrics, connections),
        backlog=BACKLOG,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        proxy_headers=False,  # nothing here asks for the client's address
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,  # type: ignore[arg-type]  # it takes fractions as well
    )
    service.start()
    if hasattr(signal, "SIGHUP"):  # there is none on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.switch.reread)
    signal.signal(signal.SIGTERM, _end)
    try:
        await Server(config, service, settings, connections).serve(listen(settings.host, settings.port))
    finally:
        service.abandon()
        log.info("stopped")
