"""Composition root: makes every part and hands each its collaborators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp

from service import access
from service.api import admin, features, page, problems, score, state
from service.api.gate import Gate
from service.api.grpc import INFER_ROUTE as GRPC_INFER_ROUTE
from service.api.hot import HotRoutes
from service.api.middleware import RequestMiddleware
from service.api.overview import Overview
from service.api.reading import Reading
from service.api.receive import Intake
from service.api.v2 import routes as v2
from service.api.v2.tensors import OutputSpec, outputs
from service.detectors import feature_mmd, score_evidence, score_ks
from service.drift.feature_mmd import FeatureMmd
from service.drift.isomap import Embedding
from service.drift.monitor import Monitor
from service.drift.store import Store
from service.errors import SettingsError
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle, load
from service.inference.detector import Detector
from service.inference.runtime import OnnxRuntime
from service.keys import KeyFile
from service.observe.feed import Feed
from service.observe.metrics import Metrics
from service.observe.recorder import Recorder
from service.readiness import Readiness
from service.settings import Settings

if TYPE_CHECKING:
    from service.api.grpc.server import GrpcServer


@dataclass(frozen=True)
class Service:
    """The parts that outlive a request."""

    app: ASGIApp
    grpc: GrpcServer | None
    bundle: Bundle
    monitor: Monitor
    store: Store | None
    runtime: OnnxRuntime
    workers: int
    batcher: Batcher
    readiness: Readiness
    recorder: Recorder | None
    key_files: list[KeyFile]


def build(settings: Settings) -> Service:
    """Verify the bundle, warm the graph and put the parts together; on a running event loop.

    Raises BundleError and SettingsError: nothing is served then.
    """
    gate, key_files = access.gate(settings)
    bundle = load(settings.bundle, settings.precision)
    runtime = OnnxRuntime(bundle, settings.providers, settings.max_batch_rows, features=settings.feature_mmd)
    on_scores = score_ks(bundle, settings), score_evidence(bundle, settings)
    on_features = feature_mmd(bundle, settings)
    monitor = Monitor([*on_scores, *([on_features] if on_features else [])])
    readiness = Readiness()
    metrics = Metrics(bundle, readiness)
    workers = settings.workers or runtime.default_workers
    batcher = Batcher(runtime, workers, runtime.max_batch_rows, settings.max_queue_rows, metrics)
    feed = Feed([metrics.scored, lambda blocks, *_: monitor.observe(blocks)])
    monitor.before_look = feed.drain
    store = None
    if settings.state_dir is not None:
        store = Store(settings.state_dir, bundle.key, monitor)
        store.restore()
    detector = Detector(batcher, bundle.threshold, feed.put)
    info = _info(bundle, settings, runtime, workers)

    app = FastAPI(
        title="harmgauge",
        version=version("harmgauge"),
        description="Harmfulness scores and drift beside a classifier, without labels.",
        responses=problems.RESPONSES,
        # The gate decides; this makes /docs ask for a key and send it.
        dependencies=[Security(HTTPBearer(auto_error=False, description="Where the service has keys."))],
    )
    problems.install(app, metrics.rejected)
    app.add_middleware(RequestMiddleware, observer=metrics, gate=gate)
    intake = Intake(readiness, settings.max_body_bytes, max_bodies_bytes(settings), settings.deadline_seconds)
    reading = Reading()
    threshold, corrects = float(bundle.threshold), "corrected_probabilities" in runtime.shapes
    post_score = score.handler(bundle.manifest, threshold, detector, intake, reading, corrects=corrects)
    offered = outputs(len(bundle.manifest.class_names), corrects=corrects)
    infer = v2.infer_handler(bundle.manifest, offered, detector, intake, reading)
    app.include_router(score.router(bundle.manifest, post_score))
    app.include_router(v2.router(bundle.manifest, offered, readiness, infer))
    app.include_router(state.drift_router(bundle, monitor, metrics))
    picture = _picture(bundle, monitor, on_features)
    app.include_router(features.router(bundle.manifest, monitor, on_features, picture))
    app.include_router(state.health_router(readiness, info))
    app.include_router(admin.router(monitor))
    recorder = overview = None
    if settings.page:
        traffic = frozenset({score.PATH, v2.INFER_ROUTE, GRPC_INFER_ROUTE})
        recorder = Recorder(monitor, partial(metrics.totals, traffic), threshold)
        overview = Overview(bundle, monitor, recorder, picture, corrects=corrects)
    app.include_router(page.router(overview, info))
    hot_routes = {score.PATH: (score.PATH, post_score)}
    hot_routes |= dict.fromkeys(v2.infer_paths(bundle.manifest), (v2.INFER_ROUTE, infer))
    hot = HotRoutes(app, hot_routes, metrics, gate)
    grpc = _grpc(
        settings,
        bundle=bundle,
        offered=offered,
        detector=detector,
        intake=intake,
        reading=reading,
        metrics=metrics,
        gate=gate,
    )
    return Service(hot, grpc, bundle, monitor, store, runtime, workers, batcher, readiness, recorder, key_files)


def _grpc(
    settings: Settings,
    *,
    bundle: Bundle,
    offered: list[OutputSpec],
    detector: Detector,
    intake: Intake,
    reading: Reading,
    metrics: Metrics,
    gate: Gate,
) -> GrpcServer | None:
    if settings.grpc_port is None:
        return None
    try:
        from service.api.grpc.server import GrpcServer  # noqa: PLC0415 - an extra: most do without it
    except ImportError as error:
        raise SettingsError(f"HARMGAUGE_GRPC_PORT needs gRPC ({error}): pip install 'harmgauge[grpc]'") from error
    return GrpcServer(
        bundle.manifest,
        offered,
        detector,
        intake,
        reading,
        observer=metrics,
        gate=gate,
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


def _picture(bundle: Bundle, monitor: Monitor, detector: FeatureMmd | None) -> features.Picture | None:
    """Of the reference's features, where the bundle has one and somebody watches for more."""
    found = bundle.reference
    if detector is None or found.features is None or found.embedding is None or found.neighbours is None:
        return None
    return features.Picture(monitor, detector, Embedding(found.features, found.embedding, found.neighbours))


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
        precision=bundle.precision,
        providers=list(runtime.providers),
        workers=workers,
        max_batch_rows=runtime.max_batch_rows,
        max_queue_rows=settings.max_queue_rows,
        max_body_bytes=settings.max_body_bytes,
        deadline_seconds=settings.deadline_seconds,
    )
