"""Puts together what serves one bundle: its graph, its detectors and its metrics, all with each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from service.api import features, page, score, state
from service.api.gate import Gate
from service.api.grpc import INFER_ROUTE as GRPC_INFER_ROUTE
from service.api.hot import Handler, HotRoutes
from service.api.overview import Overview
from service.api.v2 import routes as v2
from service.api.v2.tensors import outputs, without_scores
from service.capture.flagged import Source
from service.detectors import feature_mmd, score_evidence, score_ks
from service.drift.feature_mmd import FeatureMmd
from service.drift.isomap import Embedding
from service.drift.monitor import Monitor
from service.drift.store import Store
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle
from service.inference.caller import Caller
from service.inference.detector import Detector, Scored, Watch
from service.inference.outputs import Rows
from service.inference.runtime import OnnxRuntime
from service.observe.bundle_metrics import BundleMetrics
from service.observe.feed import Feed
from service.observe.journal import Journal
from service.observe.metrics import Metrics
from service.observe.recorder import Recorder
from service.serving import Parts, Serving
from service.settings import Settings

if TYPE_CHECKING:
    from service.capture.capture import Capture

TRAFFIC = frozenset({score.PATH, v2.INFER_ROUTE, GRPC_INFER_ROUTE})
"""The routes that give scores."""


@dataclass(frozen=True)
class Process:
    """What all bundles that the process serves in turn have in common: `routes` has all, `score` and `infer` are the
    handlers of those with the traffic. `capture` keeps flagged inputs, where that is wanted.
    """

    settings: Settings
    loop: asyncio.AbstractEventLoop
    metrics: Metrics
    gate: Gate
    journal: Journal
    routes: ASGIApp
    score: Handler
    infer: Handler
    capture: Capture | None = None


def assemble(process: Process, bundle: Bundle) -> Serving:
    """Warm the graph of a verified bundle, bring back its drift state and put the parts together; on any thread.

    Raises BundleError and SettingsError, and leaves nothing behind then.
    """
    settings = process.settings
    runtime = OnnxRuntime(bundle, settings.providers, settings.max_batch_rows, features=settings.feature_mmd)
    workers = settings.workers or runtime.default_workers
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
    corrects = "corrected_probabilities" in runtime.shapes
    picture = _picture(bundle, monitor, on_features)
    info = _info(bundle, settings, runtime, workers)
    recorder, documents = None, {}
    if settings.page:
        recorder = Recorder(monitor, partial(metrics.totals, TRAFFIC), float(bundle.threshold))
        documents = page.documents(Overview(bundle, monitor, recorder, picture, corrects=corrects), info)
    hot = {score.PATH: (score.PATH, process.score)}
    hot |= dict.fromkeys(v2.infer_paths(bundle.manifest), (v2.INFER_ROUTE, process.infer))
    batcher = Batcher(runtime, workers, runtime.max_batch_rows, settings.max_queue_rows, metrics, loop=process.loop)
    offered = outputs(len(bundle.manifest.class_names), corrects=corrects)
    parts = Parts(
        bundle=bundle,
        runtime=runtime,
        workers=workers,
        info=info,
        batcher=batcher,
        detector=Detector(batcher, bundle.threshold, _watch(feed, process.capture, bundle)),
        offered=offered,
        flags=without_scores(offered),
        corrects=corrects,
        metrics=metrics,
        monitor=monitor,
        on_features=on_features,
        picture=picture,
        store=store,
        recorder=recorder,
        page=documents,
    )
    return Serving(parts, HotRoutes(process.routes, hot, process.metrics, process.gate, process.journal))


def _watch(feed: Feed, capture: Capture | None, bundle: Bundle) -> Watch:
    if capture is None:
        return lambda rows, scored, caller: feed.put(scored, caller.client)
    source = Source.of(bundle)

    def watch(rows: Rows, scored: Scored, caller: Caller) -> None:
        feed.put(scored, caller.client)
        capture.put(source, rows, scored, caller)

    return watch


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
        signature=bundle.signature,
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
        capture=settings.capture_dir is not None,
    )
