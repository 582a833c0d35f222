"""The service as an ASGI application, for other ASGI servers."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from harmgauge.app import Service, build
from harmgauge.errors import BundleError, SettingsError
from harmgauge.settings import Settings, load

LAST_SECONDS = 1.0
"""Time limit for sending captured rows and traces at the end."""


def create_app(settings: Settings | None = None) -> ASGIApp:
    """An application with all HTTP routes of `harmgauge serve`; by default with the settings from the environment.

    The server must support the lifespan protocol: the bundle is loaded at start-up, which fails with the reason if the
    bundle cannot be served. The application lacks gRPC, SIGHUP, connection limits and the drain, which `serve` adds.
    Raises SettingsError.
    """
    settings = load() if settings is None else settings
    if settings.grpc_port is not None:
        raise SettingsError("HARMGAUGE_GRPC_PORT requires `harmgauge serve`: unset it here")
    return _Application(settings)


class _Application:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._service: Service | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._service is None:
            raise RuntimeError("harmgauge was not started: use a server that supports the ASGI lifespan protocol")
        else:
            await self._service.switch(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            service = build(self._settings)
        except (BundleError, SettingsError) as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        service.start()
        service.readiness.ready()
        self._service = service
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            service.readiness.draining()
            await service.end(lambda: LAST_SECONDS)
        finally:
            service.abandon()
        await send({"type": "lifespan.shutdown.complete"})
