"""The running process, from its settings to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal, cast

import uvicorn
from prometheus_client import disable_created_metrics

from harmgauge.api.grpc import MOST_CONNECTIONS
from harmgauge.app import Service, build
from harmgauge.auth import from_settings
from harmgauge.server.connections import Connections
from harmgauge.server.listening import BACKLOG, listen
from harmgauge.server.open_files import room_for_connections
from harmgauge.server.stopping import Server
from harmgauge.settings import Settings

log = logging.getLogger("harmgauge")

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than the 60 s for which nginx and AWS's load balancer keep theirs to the
service. The side that closes first may do so just as the other sends a request, which then gets no answer; proxies can
avoid this when they close first. (Uvicorn's own 5 s caused this for a client that sent a request every 5 s.)
"""

SWITCH_SECONDS = 0.002
"""Time after which a thread that computes in Python yields the GIL to a waiting one.

With Python's default of 5 ms the event loop was blocked that long at each wake-up, while a thread read a body or wrote
metrics.
"""


def _end(*_: object) -> None:
    """Uvicorn raises the signal again once it has drained: exit then, even if threads are still reading bodies."""
    log.info("stopped")
    logging.shutdown()
    os._exit(0)


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """Make SIGTERM end the process at once, even while a library loads a graph.

    Loading may take minutes, and Python runs a signal handler only between its own instructions.
    """
    if not hasattr(signal, "sigtimedwait"):  # not available on Windows and macOS
        yield
        return
    is_over = threading.Event()

    def wait() -> None:
        while not is_over.is_set():
            if signal.sigtimedwait({signal.SIGTERM}, 0.02) is not None:
                os._exit(0)

    waiting = threading.Thread(target=wait, name="sigterm", daemon=True)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    waiting.start()
    try:
        yield
    finally:
        is_over.set()
        waiting.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # a signal that arrived just now is handled here


def _http_protocol(
    settings: Settings, service: Service, connections: Connections
) -> type[asyncio.Protocol] | Literal["auto"]:
    try:
        from harmgauge.server.protocol import check_uvicorn  # noqa: PLC0415 - it imports httptools too
        from harmgauge.server.repeated import RepeatingHttpProtocol  # noqa: PLC0415 - httptools lacks Windows
    except ImportError:
        return "auto"
    check_uvicorn()
    made = partial(
        RepeatingHttpProtocol,
        is_prompt=service.switch.is_hot,
        timeout_seconds=settings.connection_timeout_seconds,
        everyone=connections,
        refused=lambda status: service.metrics.answered("other", status, 0.0),
    )
    return cast("type[asyncio.Protocol]", made)


def _spare_the_collector() -> None:
    """Exclude the hundreds of thousands of permanent objects from Python's cycle collector.

    Scanning them took about 20 ms now and then, in the middle of requests, whose own objects form no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; from the main thread. Blocks, and SIGTERM ends the process.

    Raises BundleError or SettingsError before it listens.
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
    sys.setswitchinterval(SWITCH_SECONDS)
    _spare_the_collector()  # before the bundle's own objects are created: they are freed when another bundle takes over
    others = 0 if settings.grpc_port is None else MOST_CONNECTIONS
    connections = Connections(room_for_connections(settings.max_connections, others))
    with _ending_at_once():
        service = build(settings)
    config = uvicorn.Config(
        service.switch,
        interface="asgi3",  # a callable that returns coroutines, but is not one
        http=_http_protocol(settings, service, connections),
        backlog=BACKLOG,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        proxy_headers=False,  # nothing here uses the client's address
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.drain_seconds,  # type: ignore[arg-type]  # it takes fractions as well
    )
    service.start()
    if hasattr(signal, "SIGHUP"):  # not available on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.switch.reread)
    signal.signal(signal.SIGTERM, _end)
    try:
        await Server(config, service, settings, connections).serve(listen(settings.host, settings.port))
    finally:
        service.abandon()
        log.info("stopped")
