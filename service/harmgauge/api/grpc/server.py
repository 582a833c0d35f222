"""The gRPC server, on a separate port."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import grpc

from harmgauge.api.data_plane import DataPlane
from harmgauge.api.grpc import INFER_ROUTE, models
from harmgauge.api.grpc.call import Answerer, Work
from harmgauge.api.grpc.health import Health
from harmgauge.api.grpc.infer import infer
from harmgauge.api.grpc.open_calls import OpenCalls
from harmgauge.api.grpc.options import options
from harmgauge.api.grpc.protocol import HEALTH_SERVICE, SERVICE
from harmgauge.auth.policy import Authorizer
from harmgauge.errors import SettingsError
from harmgauge.memory import keep_at_hand
from harmgauge.observe.access_log import AccessLog
from harmgauge.rollout.served import ServedBundle


class GrpcServer:
    """The gRPC server. Create and start it on a running event loop; `current` returns the bundle for a call that begins
    now.

    `handshake_seconds` is the time that a new connection has until its first call can arrive.
    """

    def __init__(
        self,
        current: Callable[[], ServedBundle],
        plane: DataPlane,
        *,
        authorizer: Authorizer,
        access_log: AccessLog,
        port: int,
        tls: tuple[Path, Path] | None,
        handshake_seconds: float,
    ) -> None:
        self._port = port
        self._max_message_bytes = plane.max_body_bytes
        self._tls = tls
        open_calls = OpenCalls()
        answerer = Answerer(current, plane, authorizer, access_log, open_calls)
        self._health = Health(plane.readiness, open_calls)
        score = {**models.calls(plane.readiness), INFER_ROUTE.rpartition("/")[2]: infer(plane)}
        ask: dict[str, Work] = {"Check": self._health.check, "List": self._health.list_all}
        self._server = grpc.aio.server(
            options=options(
                max_message_bytes=plane.max_body_bytes,
                handshake_seconds=handshake_seconds,
                deadline_seconds=plane.deadline_seconds,
            )
        )
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(SERVICE, answerer.handlers(SERVICE, score)),
                grpc.method_handlers_generic_handler(
                    HEALTH_SERVICE,
                    answerer.handlers(HEALTH_SERVICE, ask)
                    | {"Watch": grpc.stream_stream_rpc_method_handler(self._health.watch)},
                ),
            )
        )

    async def start(self, host: str) -> int:
        """Listen; returns the port, chosen by the system if it was 0. Raises SettingsError on failure."""
        address = f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"
        try:
            bound: int = self._bind(address)
        except RuntimeError as error:
            raise SettingsError(f"cannot listen on {address} for gRPC: choose another HARMGAUGE_GRPC_PORT") from error
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
        keep_at_hand(self._max_message_bytes)  # gRPC assembles a message on the event loop, in two copies
        await self._server.start()
        return bound

    def _bind(self, address: str) -> int:
        if self._tls is None:
            bound: int = self._server.add_insecure_port(address)
        else:
            certificate, key = (file.read_bytes() for file in self._tls)
            bound = self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
        return bound

    async def stop(self, seconds: float) -> None:
        """Refuse new calls; calls in flight may finish within this time."""
        self._health.close()
        await self._server.stop(seconds)


def _is_news(record: logging.LogRecord) -> bool:
    """False for the log record that gRPC emits whenever a client leaves before taking its response."""
    return record.exc_info is None or not isinstance(record.exc_info[1], grpc.aio.InternalError)
