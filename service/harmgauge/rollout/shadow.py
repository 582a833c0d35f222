"""A second bundle that scores the served bundle's traffic, and answers nothing."""

from __future__ import annotations

from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.state import DriftState
from harmgauge.rollout.comparison import Comparison
from harmgauge.rollout.mirror import Mirror
from harmgauge.rollout.served import ServedBundle
from harmgauge.rollout.shadow_metrics import ShadowMetrics

BATCHES_SHARE = 8
"""A batch of the shadow has at most this fraction of the rows of a served batch, because a request that arrives
meanwhile shares the cores with it.
"""


class Shadow:
    """From its creation until `end`, `serving`, which is not in service, scores the rows that `served` answers.

    Its windows are those that it will have in service: they continue when it is promoted.
    """

    def __init__(
        self, serving: ServedBundle, served: ServedBundle, max_queue_rows: int, inference_timeout_seconds: float
    ) -> None:
        components = serving.components
        self.serving = serving
        self.served = served
        self.comparison = Comparison()
        self._inference_timeout_seconds = inference_timeout_seconds
        self._metrics = ShadowMetrics(components.bundle, self.comparison, components.monitor.gauges)
        self._mirror = Mirror(
            components.runtime,
            components.bundle.threshold,
            served.components.batcher,
            self.comparison,
            components.shadow_feed.put,
            batch_rows=max(1, components.runtime.max_batch_rows // BATCHES_SHARE),
            max_rows=max_queue_rows,
        )
        served.components.scorer.listeners.append(self._mirror.put)

    @property
    def failure(self) -> str | None:
        """Why the shadow is unfit to serve: it could not score the newest request that it tried, or hangs in one."""
        if self._mirror.run_seconds > self._inference_timeout_seconds:
            return f"it has been scoring the same rows for {self._mirror.run_seconds:.0f} s"
        return "it could not score the newest inputs (the log has the reason)" if self._mirror.fails else None

    @property
    def waiting_rows(self) -> int:
        return self._mirror.waiting_rows

    async def states(self) -> dict[str, DriftState]:
        """States of its drift detectors, by name."""
        return await self.serving.components.monitor.states()

    async def accuracy(self) -> Accuracy | None:
        """Estimated accuracy of its classifier; None if it has no P(wrong)."""
        return await self.serving.components.monitor.accuracy()

    async def exposition(self) -> bytes:
        """The text for a scrape."""
        return self._metrics.exposition(await self.states(), await self.accuracy())

    def end(self) -> None:
        """Stop scoring; scored rows are in the windows, waiting ones are not."""
        self.served.components.scorer.listeners.remove(self._mirror.put)
        self._mirror.close()
        self.serving.components.monitor.catch_up()
