"""Composition root: makes every part, hands each its collaborators, runs the whole until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from dataclasses import dataclass
from importlib.metadata import version
from types import FrameType

import uvicorn
from fastapi import FastAPI
from prometheus_client import disable_created_metrics

from service.api import problems, score, state
from service.api.middleware import RequestMiddleware
from service.drift.monitor import Monitor, ScoreKs
from service.errors import SettingsError
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle, load
from service.inference.detector import Detector, Scored
from service.inference.runtime import OnnxRuntime
from service.observe.metrics import Metrics
from service.readiness import Readiness
from service.settings import Settings

log = logging.getLogger("harmgauge")


@dataclass(frozen=True)
class Service:
    """The parts that outlive a request."""

    app: FastAPI
    bundle: Bundle
    monitor: Monitor
    batcher: Batcher
    readiness: Readiness


def build(settings: Settings) -> Service:
    """Verify the bundle, warm the graph and put the parts together; on a running event loop.

    Raises BundleError and SettingsError: nothing is served then.
    """
    bundle = load(settings.bundle)
    runtime = OnnxRuntime(bundle, settings.providers, settings.max_batch_rows)
    monitor = Monitor([score_ks(bundle, settings)])
    metrics = Metrics(bundle)
    workers = settings.workers or runtime.default_workers
    batcher = Batcher(runtime, workers, settings.max_batch_rows, settings.max_queue_rows, metrics)

    def watch_drift(scored: Scored) -> None:
        monitor.observe(scored.scores)

    detector = Detector(batcher, bundle.threshold, settings.deadline_seconds, [metrics.scored, watch_drift])
    readiness = Readiness()
    info = _info(bundle, settings, runtime, workers)

    app = FastAPI(
        title="harmgauge",
        version=version("harmgauge"),
        description="Harmfulness scores and drift beside a classifier, without labels.",
    )
    problems.install(app)
    app.add_middleware(RequestMiddleware, observer=metrics)
    app.include_router(
        score.router(bundle.manifest, float(bundle.threshold), detector, readiness, settings.max_body_bytes)
    )
    app.include_router(state.drift_router(bundle, monitor, metrics))
    app.include_router(state.health_router(readiness, info))
    return Service(app, bundle, monitor, batcher, readiness)


def score_ks(bundle: Bundle, settings: Settings) -> ScoreKs:
    """The KS monitor that the bundle asks for, where the settings do not ask otherwise. Raises SettingsError."""
    drift = bundle.manifest.drift
    try:
        return ScoreKs(
            bundle.reference_scores,
            settings.window_rows or drift.window_rows,
            settings.rows_between_false_alarms or drift.rows_between_false_alarms,
        )
    except ValueError as error:
        raise SettingsError(
            f"HARMGAUGE_WINDOW_ROWS and HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS do not fit: {error}"
        ) from error


def _info(bundle: Bundle, settings: Settings, runtime: OnnxRuntime, workers: int) -> state.InfoAnswer:
    manifest = bundle.manifest
    return state.InfoAnswer(
        model=manifest.name,
        version=manifest.version,
        sha256=bundle.sha256,
        files={name: file.sha256 for name, file in manifest.files.items()},
        detector=manifest.detector,
        input=manifest.input.model_dump(exclude_none=True),
        class_names=list(manifest.class_names),
        threshold=float(bundle.threshold),
        providers=list(runtime.providers),
        workers=workers,
        max_batch_rows=settings.max_batch_rows,
        max_queue_rows=settings.max_queue_rows,
        max_body_bytes=settings.max_body_bytes,
        deadline_seconds=settings.deadline_seconds,
    )


class _Server(uvicorn.Server):
    """Uvicorn, which says where it listens and flips readiness as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        self._service.readiness.ready()
        manifest = self._service.bundle.manifest
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        log.info("serving %s/%s on http://%s:%d (docs at /docs)", manifest.name, manifest.version, shown, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.readiness.draining()
        log.info(
            "draining: no new connections, up to %s s for requests in flight", self.config.timeout_graceful_shutdown
        )
        super().handle_exit(sig, frame)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises BundleError and SettingsError before it listens."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody here reads
    service = build(settings)
    config = uvicorn.Config(
        service.app,
        host=settings.host,
        port=settings.port,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,  # type: ignore[arg-type]  # it takes fractions as well
    )
    keeping_up = asyncio.create_task(service.monitor.keep_up(settings.drift_interval_seconds))
    # Uvicorn raises the signal again once it has drained; that then ends the process with status 0, not -15.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        await _Server(config, service).serve()
    finally:
        keeping_up.cancel()
        service.batcher.close()
        log.info("stopped")
