"""All that belongs to one bundle while it is in service, from its first request to its last."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.drift.feature_mmd import FeatureMmd
from service.drift.monitor import Monitor
from service.drift.store import Store
from service.inference.batcher import Batcher
from service.inference.bundle import Bundle
from service.inference.detector import Detector
from service.inference.runtime import OnnxRuntime
from service.observe.bundle_metrics import BundleMetrics
from service.observe.recorder import Recorder

if TYPE_CHECKING:  # the routes get at these parts by `parts_of`
    from service.api.features import Picture
    from service.api.gate import Visitor
    from service.api.page import Kept
    from service.api.state import InfoAnswer
    from service.api.v2.tensors import OutputSpec

log = logging.getLogger(__name__)


_SERVING = "harmgauge.serving"
"""Where a scope has the bundle that its request goes to."""


@dataclass(frozen=True)
class Parts:
    """What routes and servers use. `offered` are the outputs to be had, `flags` those of them that tell no score;
    `corrects` says that a correction is among them; `page` are the documents that the page polls.
    """

    bundle: Bundle
    runtime: OnnxRuntime
    workers: int
    info: InfoAnswer
    batcher: Batcher
    detector: Detector
    offered: list[OutputSpec]
    flags: list[OutputSpec]
    corrects: bool
    metrics: BundleMetrics
    monitor: Monitor
    on_features: FeatureMmd | None
    picture: Picture | None
    store: Store | None
    recorder: Recorder | None
    page: dict[str, Kept]

    @property
    def title(self) -> str:
        """`NAME/VERSION` of the bundle."""
        return f"{self.bundle.manifest.name}/{self.bundle.manifest.version}"

    def offered_to(self, visitor: Visitor) -> list[OutputSpec]:
        """The outputs that somebody may have."""
        return self.offered if visitor.sees_scores else self.flags


class Serving:
    """Entered (as a context) by each request that it answers, so that it is known when the last one is gone.

    Made on any thread, used on one event loop. `app` has every route.
    """

    def __init__(self, parts: Parts, app: ASGIApp) -> None:
        self.parts = parts
        self.bundle = parts.bundle
        self._app = app
        self._requests = 0
        self._retiring = False
        self._none_waited_for = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self:
            scope[_SERVING] = self.parts
            await self._app(scope, receive, send)

    def __enter__(self) -> Self:
        self._requests += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests -= 1
        if self._retiring and not self._requests:
            self._none_waited_for.set()

    def start(self, drift_interval_seconds: float) -> None:
        """Begin what goes on between requests."""
        parts = self.parts
        work = [parts.monitor.keep_up(drift_interval_seconds)]
        if parts.recorder is not None:
            work.append(parts.recorder.keep_recording())
        if parts.store is not None:
            work.append(parts.store.keep_saving())
        self._tasks = [asyncio.create_task(each) for each in work]

    async def retire(self, seconds: float) -> None:
        """Let its requests end, at most so long; then save its drift state and close it."""
        self._retiring = True
        if self._requests:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._none_waited_for.wait(), seconds)
        try:
            await self.save()
        finally:
            self.close()

    def hurry(self) -> None:
        """Have `retire` wait for no request any more."""
        self._none_waited_for.set()

    async def save(self) -> None:
        """Count what its feed still keeps, and save the drift state if there is a place for it."""
        self.parts.monitor.before_look()
        if self.parts.store is not None:
            await self.parts.store.save()

    def close(self) -> None:
        """End its threads and tasks."""
        for task in self._tasks:
            task.cancel()
        self.parts.batcher.close()


def parts_of(request: Request) -> Parts:
    """Of the bundle that a request goes to: the one that was in service when it began."""
    return parts_in(request.scope)


def parts_in(scope: Scope) -> Parts:
    """The same, of a request's scope."""
    return cast("Parts", scope[_SERVING])
