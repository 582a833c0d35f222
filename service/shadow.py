"""A bundle that scores the served one's traffic beside it, and answers nothing."""

from __future__ import annotations

from service.drift.state import DriftState
from service.inference.mirror import Mirror
from service.observe.comparison import Comparison
from service.observe.feed import Feed
from service.observe.shadow_metrics import ShadowMetrics
from service.serving import Serving

BATCHES_SHARE = 8
"""A batch of the shadow has this part of the rows that one of answers may have: an answer that comes meanwhile has to
share the cores with no more.
"""


class Shadow:
    """`serving`, which is in service nowhere, sees what `served` answers, from the moment it is made until `end`.

    Its windows are those that it will have in service: they go on when it is promoted.
    """

    def __init__(
        self, serving: Serving, served: Serving, max_queue_rows: int, inference_timeout_seconds: float
    ) -> None:
        parts = serving.parts
        self.serving = serving
        self.served = served
        self.comparison = Comparison()
        self._inference_timeout_seconds = inference_timeout_seconds
        self._metrics = ShadowMetrics(parts.bundle, self.comparison)
        self._feed = Feed([lambda blocks, *_: parts.monitor.observe(blocks)])
        # In service, its scores come by another way, which counts them as answers.
        self._in_service = parts.monitor.before_look
        parts.monitor.before_look = self._feed.drain
        self._mirror = Mirror(
            parts.runtime,
            parts.bundle.threshold,
            served.parts.batcher,
            self.comparison,
            self._feed.put,
            batch_rows=max(1, parts.runtime.max_batch_rows // BATCHES_SHARE),
            max_rows=max_queue_rows,
        )
        served.parts.detector.beside = self._mirror.put

    @property
    def failure(self) -> str | None:
        """Why it would not do in service: it could not score the newest request that it tried, or hangs in one."""
        if self._mirror.run_seconds > self._inference_timeout_seconds:
            return f"it has been at the same rows for {self._mirror.run_seconds:.0f} s"
        return "it could not score the newest inputs, the log says why" if self._mirror.fails else None

    @property
    def waiting_rows(self) -> int:
        return self._mirror.waiting_rows

    async def states(self) -> dict[str, DriftState]:
        """Of its drift detectors, by name."""
        return await self.serving.parts.monitor.states()

    async def exposition(self) -> bytes:
        """The text for a scrape."""
        return self._metrics.exposition(await self.states())

    def end(self) -> None:
        """See nothing more; what was scored is in the windows, what waits is not."""
        self.served.parts.detector.beside = None
        self._mirror.close()
        self._feed.drain()
        self.serving.parts.monitor.before_look = self._in_service
