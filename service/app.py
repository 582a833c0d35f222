"""Composition root: makes the routes and all else that outlives a bundle, and has the first one put together.

The routes know no bundle: each request carries the parts of the one that it goes to (`serving.py`). Only what every
bundle in turn has in common (`switch.py`) is told to them here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from service import access
from service.api import admin, docs, features, page, problems, score, shadows, state, swaps
from service.api.gate import Gate
from service.api.middleware import Observer, RequestMiddleware
from service.api.reading import Reading
from service.api.receive import Intake
from service.api.v2 import routes as v2
from service.assembly import Process, assemble
from service.capture.setup import open_capture
from service.errors import SettingsError
from service.inference.bundle import load
from service.keys import KeyFile
from service.observe.journal import Journal
from service.observe.metrics import Metrics
from service.readiness import Readiness
from service.serving import Serving
from service.settings import Settings
from service.switch import Switch
from service.watch import Watch

if TYPE_CHECKING:
    from service.api.grpc.server import GrpcServer
    from service.capture.capture import Capture
    from service.observe.tracing import Tracing


@dataclass(frozen=True)
class Service:
    """The parts that outlive a bundle; `switch` is the ASGI application, `routes` what it leads to."""

    switch: Switch
    routes: FastAPI
    grpc: GrpcServer | None
    readiness: Readiness
    metrics: Metrics
    watch: Watch
    key_files: list[KeyFile]
    journal: Journal
    capture: Capture | None


def build(settings: Settings) -> Service:
    """Verify the bundle, warm the graph and put the parts together; on a running event loop.

    Raises BundleError and SettingsError: nothing is served then.
    """
    gate, key_files = access.gate(settings)
    journal = Journal(settings.access_log, tracing(settings))
    bundle = load(settings.bundle, settings.precision, settings.bundle_public_key)
    readiness = Readiness()
    metrics = Metrics(bundle.manifest, readiness)
    intake = Intake(readiness, settings.max_body_bytes, max_bodies_bytes(settings), settings.deadline_seconds)
    reading = Reading()
    post_score, infer = score.handler(intake, reading), v2.infer_handler(intake, reading)

    app = FastAPI(
        title="harmgauge",
        version=version("harmgauge"),
        description="Harmfulness scores and drift beside a classifier, without labels.",
        openapi_url=None,  # `docs` has it, behind the gate like every route
        docs_url=None,
        redoc_url=None,
        # A redirect would name http:// and our own path to who came over https:// and by a prefix.
        redirect_slashes=False,
        responses=problems.RESPONSES,
    )
    capture = open_capture(settings, bundle.manifest, metrics.registry)
    process = Process(settings, asyncio.get_running_loop(), metrics, gate, journal, app, post_score, infer, capture)
    make = partial(assemble, process)
    switch = Switch(settings, make, make(bundle))
    problems.install(app, metrics.rejected, gate)
    app.add_middleware(RequestMiddleware, observer=metrics, gate=gate, journal=journal)
    app.include_router(score.router(gate, bundle.manifest.input, post_score))
    app.include_router(v2.health_router(gate, readiness))
    app.include_router(v2.router(gate, readiness, infer))
    app.include_router(state.drift_router(gate, switch.shadow_exposition))
    app.include_router(features.router(gate))
    app.include_router(state.health_router(gate, readiness))
    app.include_router(admin.router(gate))
    app.include_router(swaps.router(gate, intake, switch))
    app.include_router(shadows.router(gate, intake, switch))
    app.include_router(docs.router(gate, app.openapi))
    app.include_router(page.documents_router(gate))
    app.include_router(page.router(gate, shown=settings.page))
    grpc = _grpc(settings, lambda: switch.current, intake, reading, observer=metrics, gate=gate, journal=journal)
    watch = Watch(lambda: switch.current, readiness, settings.inference_timeout_seconds)
    return Service(switch, app, grpc, readiness, metrics, watch, key_files, journal, capture)


def tracing(settings: Settings) -> Tracing | None:
    """What sends traces, where it is asked for. Raises SettingsError where that cannot be loaded."""
    if not settings.tracing:
        return None
    try:
        from service.observe.tracing import Tracing  # noqa: PLC0415 - an extra: most do without it
    except ImportError as error:
        raise SettingsError(
            f"HARMGAUGE_TRACING needs OpenTelemetry ({error}): pip install 'harmgauge[tracing]'"
        ) from error
    return Tracing()


def _grpc(
    settings: Settings,
    current: Callable[[], Serving],
    intake: Intake,
    reading: Reading,
    *,
    observer: Observer,
    gate: Gate,
    journal: Journal,
) -> GrpcServer | None:
    if settings.grpc_port is None:
        return None
    try:
        from service.api.grpc.server import GrpcServer  # noqa: PLC0415 - an extra: most do without it
    except ImportError as error:
        raise SettingsError(f"HARMGAUGE_GRPC_PORT needs gRPC ({error}): pip install 'harmgauge[grpc]'") from error
    return GrpcServer(
        current,
        intake,
        reading,
        observer=observer,
        gate=gate,
        journal=journal,
        port=settings.grpc_port,
        tls=access.tls_files(settings),
    )


def max_bodies_bytes(settings: Settings) -> int:
    """The bytes of all unanswered bodies together. Raises SettingsError where not even one would fit."""
    if settings.max_bodies_bytes is None:
        return 8 * settings.max_body_bytes
    if settings.max_bodies_bytes < settings.max_body_bytes:
        raise SettingsError(
            f"HARMGAUGE_MAX_BODIES_BYTES={settings.max_bodies_bytes} is less than one body may have "
            f"(HARMGAUGE_MAX_BODY_BYTES={settings.max_body_bytes}): raise the first or lower the second"
        )
    return settings.max_bodies_bytes
