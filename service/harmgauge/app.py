"""Composition root: creates the routes and everything else that outlives a bundle, and assembles the first bundle.

The routes do not depend on a bundle: each request carries the components of its bundle (`rollout/served.py`). Only what
all bundles have in common (`rollout/switch.py`) is set up here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from harmgauge.api import columns, docs, features, problems, score, sources, state
from harmgauge.api.admin import drift, shadow, swap
from harmgauge.api.data_plane import DataPlane
from harmgauge.api.middleware import RequestMiddleware
from harmgauge.api.turnstile import Turnstiles
from harmgauge.api.v2 import routes as v2
from harmgauge.assembly import Process, assemble
from harmgauge.auth import from_settings
from harmgauge.auth.keys import KeyFile
from harmgauge.auth.policy import Authorizer
from harmgauge.capture.setup import open_capture, open_sink
from harmgauge.drift import harm_bound
from harmgauge.drift.folder_lock import FolderLock, hold
from harmgauge.errors import SettingsError
from harmgauge.inference.isolated_probe import BundleLoader
from harmgauge.observe.access_log import AccessLog
from harmgauge.observe.metrics import Metrics
from harmgauge.page import routes as page
from harmgauge.readiness import Readiness
from harmgauge.rollout.switch import Switch
from harmgauge.rollout.watchdog import Watchdog
from harmgauge.settings import Settings

if TYPE_CHECKING:
    from harmgauge.api.grpc.server import GrpcServer
    from harmgauge.capture.capture import Capture
    from harmgauge.capture.sinks import Sink
    from harmgauge.observe.tracing import Tracing


@dataclass(frozen=True)
class Service:
    """The parts that outlive a bundle; `switch` is the ASGI application, with the `routes` behind it."""

    switch: Switch
    routes: FastAPI
    grpc: GrpcServer | None
    readiness: Readiness
    metrics: Metrics
    watch: Watchdog
    key_files: list[KeyFile]
    access_log: AccessLog
    capture: Capture | None
    state_lock: FolderLock
    background: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Start the background work."""
        self.switch.start()
        if self.capture is not None:
            self.capture.start()
        self.watch.start()
        self.background.extend(asyncio.create_task(file.keep_looking()) for file in self.key_files)

    async def end(self, seconds: Callable[[], float]) -> None:
        """Save the drift state, then write captured rows and send traces, within `seconds`.

        No request may arrive any more.
        """
        self.watch.stop()
        await self.switch.close()
        left_seconds = seconds()
        last = [asyncio.to_thread(self.access_log.close, left_seconds)]
        if self.capture is not None:
            last.append(self.capture.close(left_seconds))
        await asyncio.gather(*last)

    def abandon(self) -> None:
        """Stop the tasks and threads immediately, and release the state folder to other processes."""
        self.watch.stop()
        for task in self.background:
            task.cancel()
        self.switch.current.close()
        self.state_lock.release()


@dataclass(frozen=True)
class Validated:
    """Everything that depends only on the settings, before a bundle is read."""

    authorizer: Authorizer
    key_files: list[KeyFile]
    tls: tuple[Path, Path] | None
    tracing: Tracing | None
    grpc: type[GrpcServer] | None
    sink: Sink | None
    max_bodies_bytes: int


def validate(settings: Settings) -> Validated:
    """Check the settings before a bundle is loaded. Raises SettingsError."""
    authorizer, key_files = from_settings.authorizer(settings)
    harm_bound.check_settings(settings)
    return Validated(
        authorizer,
        key_files,
        from_settings.tls_files(settings),
        _tracing(settings),
        _grpc_server(settings),
        open_sink(settings),
        _max_bodies_bytes(settings),
    )


def build(settings: Settings) -> Service:
    """Verify the bundle, warm up the graph and assemble the service; requires a running event loop.

    Raises BundleError or SettingsError, in which case nothing is served.
    """
    valid = validate(settings)
    state_lock = hold(settings.state_dir)
    try:
        return _build(settings, valid, state_lock)
    except BaseException:
        state_lock.release()
        raise


def _build(settings: Settings, valid: Validated, state_lock: FolderLock) -> Service:
    authorizer = valid.authorizer
    loader = BundleLoader(settings)
    bundle = loader.load(settings.bundle)
    readiness = Readiness()
    metrics = Metrics(bundle.manifest, readiness)
    access_log = AccessLog(metrics, settings.access_log, valid.tracing)
    plane = DataPlane(
        readiness,
        max_body_bytes=settings.max_body_bytes,
        max_bodies_bytes=valid.max_bodies_bytes,
        deadline_seconds=settings.deadline_seconds,
        max_rows=settings.max_queue_rows,
        max_image_pixels=settings.max_image_pixels,
    )
    turnstiles = Turnstiles()
    post_score, infer = score.handler(plane), v2.infer_handler(plane)

    app = FastAPI(
        title="harmgauge",
        version=version("harmgauge"),
        description="Harmfulness scores, accuracy estimates and drift alarms alongside a classifier, without labels.",
        openapi_url=None,  # `api/docs.py` serves it, with a permission check like every route
        docs_url=None,
        redoc_url=None,
        # A redirect would send a client that used https:// and a path prefix to http:// and our own path.
        redirect_slashes=False,
        responses=problems.RESPONSES,
    )
    capture = open_capture(settings, valid.sink, bundle.manifest, metrics.registry)
    process = Process(
        settings,
        asyncio.get_running_loop(),
        metrics,
        authorizer,
        access_log,
        turnstiles,
        app,
        post_score,
        infer,
        capture,
    )
    make = partial(assemble, process)
    switch = Switch(settings, loader.load, make, make(bundle))
    problems.install(app, authorizer)
    app.add_middleware(RequestMiddleware, authorizer=authorizer, access_log=access_log, turnstiles=turnstiles)
    app.include_router(score.router(authorizer, bundle.manifest.served, post_score))
    app.include_router(v2.health_router(authorizer, readiness))
    app.include_router(v2.router(authorizer, readiness, infer))
    app.include_router(state.drift_router(authorizer, switch.shadow_exposition))
    app.include_router(features.router(authorizer))
    app.include_router(sources.router(authorizer))
    app.include_router(columns.router(authorizer))
    app.include_router(state.health_router(authorizer, readiness))
    app.include_router(drift.router(authorizer))
    app.include_router(swap.router(authorizer, plane, switch))
    app.include_router(shadow.router(authorizer, plane, switch))
    app.include_router(docs.router(authorizer, partial(problems.document, app)))
    app.include_router(page.documents_router(authorizer))
    app.include_router(page.router(authorizer, shown=settings.page))
    grpc = None
    if valid.grpc is not None and settings.grpc_port is not None:
        grpc = valid.grpc(
            lambda: switch.current,
            plane,
            authorizer=authorizer,
            access_log=access_log,
            port=settings.grpc_port,
            tls=valid.tls,
            handshake_seconds=settings.connection_timeout_seconds,
        )
    watch = Watchdog(lambda: switch.current, readiness, settings.inference_timeout_seconds, lambda: switch.hanging)
    return Service(switch, app, grpc, readiness, metrics, watch, valid.key_files, access_log, capture, state_lock)


def _tracing(settings: Settings) -> Tracing | None:
    if not settings.tracing:
        return None
    try:
        from harmgauge.observe.tracing import Tracing  # noqa: PLC0415 - an extra: most do without it
    except ImportError as error:
        raise SettingsError(
            f"HARMGAUGE_TRACING requires OpenTelemetry ({error}): pip install 'harmgauge[tracing]'"
        ) from error
    return Tracing()


def _grpc_server(settings: Settings) -> type[GrpcServer] | None:
    if settings.grpc_port is None:
        return None
    try:
        from harmgauge.api.grpc.server import GrpcServer  # noqa: PLC0415 - an extra: most do without it
    except ImportError as error:
        raise SettingsError(f"HARMGAUGE_GRPC_PORT requires gRPC ({error}): pip install 'harmgauge[grpc]'") from error
    return GrpcServer


def _max_bodies_bytes(settings: Settings) -> int:
    """Limit on the bytes of all unanswered bodies together."""
    if settings.max_bodies_bytes is None:
        return 8 * settings.max_body_bytes
    if settings.max_bodies_bytes < settings.max_body_bytes:
        raise SettingsError(
            f"HARMGAUGE_MAX_BODIES_BYTES={settings.max_bodies_bytes} is smaller than the largest single body "
            f"(HARMGAUGE_MAX_BODY_BYTES={settings.max_body_bytes}): raise the first or lower the second"
        )
    return settings.max_bodies_bytes
