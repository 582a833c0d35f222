"""Assembles the parts that serve one bundle: its graph, detectors and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from harmgauge.api import score, state
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.named.tokens import TextReader, open_text_reader
from harmgauge.api.grpc import INFER_ROUTE as GRPC_INFER_ROUTE
from harmgauge.api.looks import Looks
from harmgauge.api.middleware import Handler, HotRoute, HotRoutes
from harmgauge.api.turnstile import Turnstiles
from harmgauge.api.v2 import routes as v2
from harmgauge.api.v2.tensors import outputs, without_scores
from harmgauge.api.views import Views
from harmgauge.auth.policy import Authorizer
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.judgement import judgement_of
from harmgauge.bundle.load import Bundle
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.capture.flagged import Source
from harmgauge.drift import accuracy_window
from harmgauge.drift.accuracy_window import AccuracyWindow
from harmgauge.drift.columns import columns
from harmgauge.drift.columns.columns import Columns
from harmgauge.drift.embedding_view import EmbeddingView
from harmgauge.drift.feature_mmd import FeatureMmd
from harmgauge.drift.from_bundle import build_drift_detectors
from harmgauge.drift.harm import Harm
from harmgauge.drift.isomap import Embedding
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.sources import sources
from harmgauge.drift.sources.sources import Sources
from harmgauge.drift.state import Blocks, DriftDetector
from harmgauge.drift.store import Store
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.inference.scorer import RequestScorer
from harmgauge.observe.access_log import AccessLog
from harmgauge.observe.bundle_metrics import BundleMetrics
from harmgauge.observe.column_buffer import ColumnBuffer
from harmgauge.observe.feed import Feed, Sample, Watcher
from harmgauge.observe.measuring import keep_measuring
from harmgauge.observe.metrics import Metrics
from harmgauge.page import routes as page
from harmgauge.page.overview import Overview
from harmgauge.page.recorder import Recorder
from harmgauge.rollout.served import Background, Components, ServedBundle
from harmgauge.settings import Settings

if TYPE_CHECKING:
    from harmgauge.capture.capture import Capture

log = logging.getLogger(__name__)

MOST_CATEGORIES_SHOWN = 1000
"""`/info` has only the length of a longer list."""

TRAFFIC = frozenset({score.PATH, v2.INFER_ROUTE, GRPC_INFER_ROUTE})
"""The routes that return scores."""


@dataclass(frozen=True)
class Process:
    """Parts shared by all bundles that the process serves in turn: `routes` has all routes; `score` and `infer` handle
    those with the traffic. `capture` stores flagged inputs, if enabled.
    """

    settings: Settings
    loop: asyncio.AbstractEventLoop
    metrics: Metrics
    authorizer: Authorizer
    access_log: AccessLog
    turnstiles: Turnstiles
    routes: ASGIApp
    score: Handler
    infer: Handler
    capture: Capture | None = None


@dataclass(frozen=True)
class Prepared:
    """The parts of a bundle that can fail: its graph, loaded and warmed up, its monitors (drift detectors, accuracy
    window, sources, columns), and the tokenizer.
    """

    bundle: Bundle
    runtime: OnnxRuntime
    workers: int
    detectors: list[DriftDetector]
    accuracy: AccuracyWindow | None
    texts: TextReader | None
    sources: Sources | None
    columns: Columns | None


def prepare(bundle: Bundle, settings: Settings) -> Prepared:
    """Warm up the graph of a verified bundle and create its drift detectors. Raises BundleError or SettingsError."""
    runtime = OnnxRuntime(bundle, settings.providers, settings.max_batch_rows, features=settings.feature_mmd)
    workers = settings.workers or runtime.default_workers
    detectors, accuracy = build_drift_detectors(bundle, settings), accuracy_window.from_bundle(bundle, settings)
    harm = next((each for each in detectors if isinstance(each, Harm)), None)
    return Prepared(
        bundle,
        runtime,
        workers,
        detectors,
        accuracy,
        open_text_reader(bundle),
        sources.from_bundle(bundle, settings, harm),
        columns.from_bundle(bundle, settings),
    )


def assemble(process: Process, bundle: Bundle) -> ServedBundle:
    """Prepare a verified bundle, restore its drift state and assemble the parts; on any thread.

    Raises BundleError or SettingsError, in which case it leaves nothing behind.
    """
    settings, manifest = process.settings, bundle.manifest
    prepared = prepare(bundle, settings)
    runtime, workers = prepared.runtime, prepared.workers
    sample = _sample(prepared)
    feed, shadow_feed = (
        Feed(columns=None if prepared.columns is None else ColumnBuffer(prepared.columns.values), sample=sample)
        for _ in range(2)
    )
    monitor = Monitor(
        prepared.detectors,
        [feed.drain, shadow_feed.drain],
        prepared.accuracy,
        sources=prepared.sources,
        columns=prepared.columns,
    )
    batcher = Batcher(
        runtime, workers, runtime.max_batch_rows, settings.max_queue_rows, process.metrics, loop=process.loop
    )
    metrics = BundleMetrics(bundle, process.metrics, monitor.gauges, lambda: batcher.rows)
    feed.watchers += [metrics.scored, _answered(monitor, metrics)]
    shadow_feed.watchers.append(lambda blocks, *_: monitor.observe(blocks))
    scorer = RequestScorer(batcher, bundle.threshold)
    scorer.listeners.append(feed.put)
    if manifest.is_named:
        scorer.listeners.append(lambda rows, *_: process.metrics.values.answered(rows))
    if process.capture is not None:
        scorer.listeners.append(partial(process.capture.put, Source.of(bundle)))
    store = None
    if settings.state_dir is not None:
        store = Store(settings.state_dir, bundle.key, monitor)
        store.restore()
    corrects = "corrected_probabilities" in runtime.shapes
    embedding_view = _embedding_view(bundle, monitor)
    info = _info(bundle, settings, runtime, workers, _detectable(bundle, prepared.detectors))
    looks = Looks(bundle, monitor, metrics, embedding_view, info)
    background: list[Background] = []
    if prepared.columns is not None and sample is not None:
        background.append(partial(keep_measuring, prepared.columns, sample))
    documents = {}
    if settings.page:
        recorder = Recorder(monitor, partial(metrics.totals, TRAFFIC), float(bundle.threshold))
        background.append(recorder.keep_recording)
        documents = page.documents(Overview(bundle, monitor, recorder, embedding_view, corrects=corrects), info)
    hot = {score.PATH: HotRoute(score.PATH, process.score)}
    hot |= dict.fromkeys(v2.infer_paths(manifest), HotRoute(v2.INFER_ROUTE, process.infer))
    offered = outputs(
        len(manifest.class_names), corrects=corrects, error_probability=bundle.error_probability is not None
    )
    components = Components(
        title=f"{manifest.name}/{manifest.version}",
        bundle=bundle,
        runtime=runtime,
        threshold=float(bundle.threshold),
        workers=workers,
        batcher=batcher,
        scorer=scorer,
        output_names=frozenset(output.name for output in offered),
        corrects=corrects,
        metrics=metrics,
        monitor=monitor,
        shadow_feed=shadow_feed,
        embedding_view=embedding_view,
        store=store,
        views=Views(looks, offered, without_scores(offered), _reader(prepared, process.metrics)),
        page=documents,
    )
    app = HotRoutes(process.routes, hot, process.authorizer, process.access_log, process.turnstiles)
    return ServedBundle(components, app, background, hot.keys())


def _reader(prepared: Prepared, metrics: Metrics) -> NamedReader | None:
    served = prepared.bundle.manifest.served
    if isinstance(served, NamedInputs):
        return NamedReader(served, prepared.texts, refused=metrics.values.refused)
    return None if served.by_column is None else NamedReader(served.by_column, as_array=True)


def _sample(prepared: Prepared) -> Sample | None:
    """None unless the bundle has sketches of measures of pictures."""
    if prepared.columns is None or not len(prepared.columns.values.measures):
        return None
    return Sample.of(prepared.bundle.manifest.input.row_size)


def _described(found: Input) -> dict[str, Any]:
    """An input as in bundle.json; of long lists of categories only the number."""
    document = found.model_dump(mode="json", exclude_none=True)
    if found.categories is not None and len(found.categories) > MOST_CATEGORIES_SHOWN:
        document["categories"] = {"count": len(found.categories)}
    return document


def _answered(monitor: Monitor, metrics: BundleMetrics) -> Watcher:
    """Pass answered rows to the detectors, and count the bets on them.

    Bets on a shadow's rows are not counted, because the bundle that answered the same rows has already bet on them.
    """
    harm = monitor.find(Harm)
    if harm is None:
        return lambda blocks, *_: monitor.observe(blocks)

    def observe(blocks: Blocks, *_: object) -> None:
        before = harm.logs
        monitor.observe(blocks)
        metrics.process.errors.bet(harm.logs - before)

    return observe


def _embedding_view(bundle: Bundle, monitor: Monitor) -> EmbeddingView | None:
    """None unless the bundle has an embedding and `feature_mmd` keeps the recent features."""
    found, detector = bundle.reference, monitor.find(FeatureMmd)
    if detector is None or found.features is None or found.embedding is None or found.neighbours is None:
        return None
    return EmbeddingView(monitor, detector, Embedding(found.features, found.embedding, found.neighbours))


def _detectable(bundle: Bundle, detectors: Sequence[DriftDetector]) -> state.DetectableAnswer | None:
    """The limits of `score_evidence`, if it is among the detectors; poor ones are logged as a warning."""
    found = next((each.detectable for each in detectors if isinstance(each, ScoreEvidence)), None)
    if found is None:
        return None
    if found.warning is not None:
        log.warning("%s: %s", bundle.path, found.warning)
    return state.DetectableAnswer.of(found)


def _info(
    bundle: Bundle,
    settings: Settings,
    runtime: OnnxRuntime,
    workers: int,
    detectable: state.DetectableAnswer | None,
) -> state.InfoAnswer:
    manifest = bundle.manifest
    reason, sentence, worth_serving = judgement_of(manifest)
    is_judged = sentence is not None or worth_serving is not None
    return state.InfoAnswer(
        model=manifest.name,
        version=manifest.version,
        sha256=bundle.sha256,
        signature=bundle.signature,
        files={name: file.sha256 for name, file in manifest.files.items()},
        detector=manifest.detector,
        detector_reason=reason,
        score=manifest.score,
        judgement=state.JudgementAnswer(sentence=sentence, worth_serving=worth_serving) if is_judged else None,
        input=None if manifest.is_named else manifest.input.model_dump(exclude_none=True, exclude={"columns"}),
        inputs=[_described(found) for found in manifest.inputs],
        tokenizer=isinstance(manifest.served, NamedInputs) and manifest.served.tokenizer is not None,
        class_names=list(manifest.class_names),
        threshold=float(bundle.threshold),
        error_probability=state.ErrorProbabilityAnswer.of(bundle),
        detectable=detectable,
        error_probability_reason=bundle.no_error_probability,
        precision=bundle.precision,
        providers=list(runtime.providers),
        workers=workers,
        max_batch_rows=runtime.max_batch_rows,
        max_queue_rows=settings.max_queue_rows,
        max_body_bytes=settings.max_body_bytes,
        max_image_pixels=settings.max_image_pixels,
        deadline_seconds=settings.deadline_seconds,
        capture=settings.capture_dir is not None,
    )
