"""Everything that belongs to one bundle while it is in service, from its first request to its last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

from starlette.requests import Request
from starlette.types import ASGIApp

from harmgauge.bundle.load import Bundle
from harmgauge.drift.embedding_view import EmbeddingView
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.store import Store
from harmgauge.inference.batcher import Batcher
from harmgauge.inference.runtime import OnnxRuntime
from harmgauge.inference.scorer import RequestScorer
from harmgauge.observe.bundle_metrics import BundleMetrics
from harmgauge.observe.feed import Feed

log = logging.getLogger(__name__)


COMPONENTS = "harmgauge.components"
"""Scope key for the components of the request's bundle: the one in service when the request started."""

SERVED = "harmgauge.served"
"""Scope key for that bundle itself, which is entered while the request is answered."""


Background = Callable[[], Coroutine[Any, Any, None]]
"""Work that lasts as long as the bundle serves."""


@dataclass(frozen=True)
class Components:
    """The parts of one bundle that routes and servers use.

    `title` is `NAME/VERSION`. `output_names` are the available outputs; `corrects` is whether a correction is among
    them. `shadow_feed` takes scores that were not answers. `views` and `page` are data that the routes and the live
    page derive from the bundle: created by the assembly, and opaque here.
    """

    title: str
    bundle: Bundle
    runtime: OnnxRuntime
    threshold: float
    workers: int
    batcher: Batcher
    scorer: RequestScorer
    output_names: frozenset[str]
    corrects: bool
    metrics: BundleMetrics
    monitor: Monitor
    shadow_feed: Feed
    embedding_view: EmbeddingView | None
    store: Store | None
    views: object
    page: object


class ServedBundle:
    """A bundle in service. Each request that it answers enters it (as a context), so that the end of the last one is
    noticed.

    Created on any thread, used on one event loop. `app` has every route, `hot_paths` are those of the traffic;
    `background` starts the other work.
    """

    def __init__(
        self,
        components: Components,
        app: ASGIApp,
        background: Sequence[Background] = (),
        hot_paths: AbstractSet[str] = frozenset(),
    ) -> None:
        self.components = components
        self.bundle = components.bundle
        self.app = app
        self.hot_paths = hot_paths
        self._background = background
        self._requests = 0
        self._retiring = False
        self._none_waited_for = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

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
        """Start the background work."""
        components = self.components
        work = [components.monitor.keep_up(drift_interval_seconds)]
        work += [begin() for begin in self._background]
        if components.store is not None:
            work.append(components.store.keep_saving())
        self._tasks = [asyncio.create_task(each) for each in work]

    async def retire(self, seconds: float) -> None:
        """Let the bundle's requests finish, within this time; then save its drift state and close it."""
        self._retiring = True
        if self._requests:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._none_waited_for.wait(), seconds)
        try:
            await self.save()
        finally:
            self.close()

    def hurry(self) -> None:
        """Make `retire` stop waiting for requests."""
        self._none_waited_for.set()

    async def save(self) -> None:
        """Count the scores that its feed has buffered, and save the drift state if there is a place for it."""
        self.components.monitor.catch_up()
        if self.components.store is not None:
            await self.components.store.save()

    def close(self) -> None:
        """End its threads and tasks."""
        for task in self._tasks:
            task.cancel()
        self.components.batcher.close()


def components_of(request: Request) -> Components:
    """The components of the bundle that answers a request."""
    return cast("Components", request.scope[COMPONENTS])
