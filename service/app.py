"""Composition root: makes what the process has, and hands it to each bundle that it serves in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from service.api.middleware import Observer
from service.api.reading import Reading
from service.api.receive import Intake
from service.assembly import Process, assemble
from service.errors import SettingsError
from service.inference.bundle import load
from service.observe.metrics import Metrics
from service.readiness import Readiness
from service.serving import Serving
from service.settings import Settings
from service.switch import Switch

if TYPE_CHECKING:
    from service.api.grpc.server import GrpcServer


@dataclass(frozen=True)
class Service:
    """The parts that outlive a bundle; `switch` is the ASGI application."""

    switch: Switch
    grpc: GrpcServer | None
    readiness: Readiness


def build(settings: Settings) -> Service:
    """Verify the bundle, warm the graph and put the parts together; on a running event loop.

    Raises BundleError and SettingsError: nothing is served then.
    """
    bundle = load(settings.bundle, settings.precision)
    readiness = Readiness()
    metrics = Metrics(bundle.manifest, readiness)
    intake = Intake(readiness, settings.max_body_bytes, max_bodies_bytes(settings), settings.deadline_seconds)
    reading = Reading()
    process = Process(settings, readiness, metrics, intake, reading, asyncio.get_running_loop())
    switch = Switch(settings, bundle, partial(assemble, process))
    grpc = _grpc(settings, lambda: switch.current, intake, reading, metrics)
    return Service(switch, grpc, readiness)


def _grpc(
    settings: Settings, current: Callable[[], Serving], intake: Intake, reading: Reading, observer: Observer
) -> GrpcServer | None:
    if settings.grpc_port is None:
        return None
    try:
        from service.api.grpc.server import GrpcServer  # noqa: PLC0415 - an extra: most do without it
    except ImportError as error:
        raise SettingsError(f"HARMGAUGE_GRPC_PORT needs gRPC ({error}): pip install 'harmgauge[grpc]'") from error
    return GrpcServer(current, intake, reading, observer=observer, port=settings.grpc_port)


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
