"""Puts together what serves one bundle: its graph, its detectors, its metrics, and every route, all with each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from service.api import admin, features, page, problems, score, state, swaps
from service.api.grpc import INFER_ROUTE as GRPC_INFER_ROUTE
from service.api.hot import HotRoutes
from service.api.middleware import RequestMiddleware
from service.api.overview import Overview
from service.api.reading import Reading
from service.api.receive import Intake
from service.api.v2 import routes as v2
from service.api.v2.tensors import outputs
from service.detectors import feature_mmd, score_evidence, score_ks
from service.drift.feature_mmd import FeatureMmd
from service.drift.isomap import Embedding
from service.drift.monitor import Monitor
from service.drift.store import Store
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle
from service.inference.detector import Detector
from service.inference.runtime import OnnxRuntime
from service.observe.bundle_metrics import BundleMetrics
from service.observe.feed import Feed
from service.observe.metrics import Metrics
from service.observe.recorder import Recorder
from service.readiness import Readiness
from service.serving import Parts, Serving
from service.settings import Settings

if TYPE_CHECKING:
    from service.switch import Switch

TRAFFIC = frozenset({score.PATH, v2.INFER_ROUTE, GRPC_INFER_ROUTE})
"""The routes that give scores."""


@dataclass(frozen=True)
class Process:
    """What all bundles that the process serves in turn have in common."""

    settings: Settings
    readiness: Readiness
    metrics: Metrics
    intake: Intake
    reading: Reading
    loop: asyncio.AbstractEventLoop


def assemble(process: Process, bundle: Bundle, switch: Switch) -> Serving:
    """Warm the graph of a verified bundle, bring back its drift state and put the parts together; on any thread.

    Raises BundleError and SettingsError, and leaves nothing behind then.
    """
    settings = process.settings
    runtime = OnnxRuntime(bundle, settings.providers, settings.max_batch_rows, features=settings.feature_mmd)
    on_scores = score_ks(bundle, settings), score_evidence(bundle, settings)
    on_features = feature_mmd(bundle, settings)
    monitor = Monitor([*on_scores, *([on_features] if on_features else [])])
    metrics = BundleMetrics(bundle, process.metrics)
    feed = Feed([metrics.scored, lambda blocks, *_: monitor.observe(blocks)])
    monitor.before_look = feed.drain
    store = None
    if settings.state_dir is not None:
        store = Store(settings.state_dir, bundle.key, monitor)
        store.restore()
    workers = settings.workers or runtime.default_workers
    batcher = Batcher(runtime, workers, runtime.max_batch_rows, settings.max_queue_rows, metrics, loop=process.loop)
    detector = Detector(batcher, bundle.threshold, feed.put)

    manifest, intake, reading = bundle.manifest, process.intake, process.reading
    app = FastAPI(
        title="harmgauge",
        version=version("harmgauge"),
        description="Harmfulness scores and drift beside a classifier, without labels.",
    )
    problems.install(app, process.metrics.rejected)
    app.add_middleware(RequestMiddleware, observer=process.metrics)
    threshold, corrects = float(bundle.threshold), "corrected_probabilities" in runtime.shapes
    post_score = score.handler(manifest, threshold, detector, intake, reading, corrects=corrects)
    offered = outputs(len(manifest.class_names), corrects=corrects)
    infer = v2.infer_handler(manifest, offered, detector, intake, reading)
    app.include_router(score.router(manifest, post_score))
    app.include_router(v2.router(manifest, offered, process.readiness, infer))
    app.include_router(state.drift_router(bundle, monitor, metrics))
    picture = _picture(bundle, monitor, on_features)
    app.include_router(features.router(manifest, monitor, on_features, picture))
    app.include_router(state.health_router(process.readiness, _info(bundle, settings, runtime, workers)))
    keys = admin.AdminKeys(settings.admin_keys)
    app.include_router(admin.router(keys, monitor))
    app.include_router(swaps.router(keys, intake, switch))
    recorder = overview = None
    if settings.page:
        recorder = Recorder(monitor, partial(metrics.totals, TRAFFIC), threshold)
        overview = Overview(bundle, monitor, recorder, picture, corrects=corrects)
    app.include_router(page.router(overview))
    hot_routes = {score.PATH: (score.PATH, post_score)}
    hot_routes |= dict.fromkeys(v2.infer_paths(manifest), (v2.INFER_ROUTE, infer))
    hot = HotRoutes(app, hot_routes, process.metrics)
    return Serving(Parts(bundle, runtime, workers, monitor, store, batcher, detector, offered, recorder, hot))


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
