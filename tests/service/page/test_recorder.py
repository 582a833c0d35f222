"""Samples of a real monitor and real metrics, with a controlled clock."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from harmgauge.bundle.load import Bundle
from harmgauge.drift import accuracy_window, score_evidence, score_ks
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.state import Blocks
from harmgauge.observe.bundle_metrics import BundleMetrics
from harmgauge.observe.metrics import Metrics
from harmgauge.page.recorder import ACCURACY, LEAST_STATISTIC, STATES, Recorder, flagged_share
from harmgauge.readiness import Readiness
from harmgauge.settings import load

pytestmark = pytest.mark.anyio

ROUTES = frozenset({"/score", "/v2"})


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def parts(bundle: Bundle) -> tuple[Monitor, BundleMetrics, Recorder, Clock]:
    settings = load({})
    monitor = Monitor(
        [score_ks.from_bundle(bundle, settings), score_evidence.from_bundle(bundle, settings)],
        accuracy=accuracy_window.from_bundle(bundle, settings),
    )
    process = Metrics(bundle.manifest, Readiness())
    metrics, clock = BundleMetrics(bundle, process, monitor.gauges, lambda: int(clock.seconds > 4) * 7), Clock()
    recorder = Recorder(
        monitor, partial(metrics.totals, ROUTES), float(bundle.threshold), clock=clock, now=lambda: 1000 + clock.seconds
    )
    return monitor, metrics, recorder, clock


def test_an_hour_is_kept_and_no_more(image_bundle: Bundle) -> None:
    *_, recorder, _ = parts(image_bundle)
    assert recorder.history.capacity == 720


async def test_before_any_traffic_nothing_is_claimed(image_bundle: Bundle) -> None:
    *_, recorder, clock = parts(image_bundle)
    clock.seconds = 5
    await recorder.sample()
    sample = {name: column[-1] for name, column in recorder.history.newest().items()}
    assert sample["time"] == 1005
    assert sample["rows_per_second"] == sample["requests_per_second"] == sample["failed_per_second"] == 0
    assert sample["score_ks.state"] == STATES.index("warming")
    assert sample["score_evidence.state"] == STATES.index("ok")
    assert sample["score_evidence.log10"] == np.float32(math.log10(LEAST_STATISTIC))
    for unknown in ("median_seconds", "p99_seconds", "flagged_share", "score_ks.log10"):
        assert np.isnan(sample[unknown]), unknown


async def test_rates_are_of_the_time_between_two_samples(image_bundle: Bundle) -> None:
    monitor, metrics, recorder, clock = parts(image_bundle)
    reference = image_bundle.reference.scores

    def traffic(rows: int, seconds: float, status: int | str = 200, route: str = "/score") -> None:
        blocks = Blocks.of(reference[-rows:])
        metrics.scored(blocks, blocks.scores > image_bundle.threshold, np.zeros(rows, np.int64))
        monitor.observe(blocks)
        metrics.process.answered(route, status, seconds)

    traffic(90, 3.0)
    clock.seconds = 4
    await recorder.sample()
    traffic(10, 0.02)
    traffic(10, 0.02, "OK", "/v2")
    metrics.process.answered("/score", 429, 0.02)
    metrics.process.answered("/metrics", 200, 9.0)
    clock.seconds = 6
    await recorder.sample()
    columns = recorder.history.newest()
    assert columns["rows_per_second"].tolist() == [22.5, 10]
    assert columns["requests_per_second"].tolist() == [0.25, 1.5]
    assert columns["failed_per_second"].tolist() == [0, 0.5]
    assert columns["queue_rows"].tolist() == [0, 7]
    assert columns["median_seconds"] == pytest.approx([3.75, 0.0175]), "inside the buckets 2.5 to 5 and .01 to .025"
    assert columns["score_ks.state"].tolist() == [STATES.index("warming"), STATES.index("drifting")]
    states = await monitor.states()
    assert states["score_ks"].scores is not None
    expected = np.mean(states["score_ks"].scores > image_bundle.threshold)
    assert flagged_share(states, float(image_bundle.threshold)) == expected > 0.3
    assert columns["flagged_share"][-1] == np.float32(expected)
    assert columns["score_ks.log10"][-1] == np.float32(states["score_ks"].log10_p_value or 0)


async def test_accuracy_is_sampled_once_there_is_an_interval(chances_bundle: Bundle) -> None:
    monitor, _, recorder, clock = parts(chances_bundle)
    chances = np.linspace(0.01, 0.3, 120, dtype=np.float32)

    async def after(start: int, end: int) -> dict[str, float]:
        own = chances[start:end]
        zeros = np.zeros(len(own), np.int64)
        monitor.observe(replace(Blocks.of(own.astype(np.float64)), error_probability=own, predictions=zeros))
        clock.seconds += 5
        await recorder.sample()
        return {name: column[-1] for name, column in recorder.history.newest().items() if name in ACCURACY}

    early = await after(0, 99)
    assert set(early) == set(ACCURACY)
    assert all(np.isnan(value) for value in early.values()), "99 rows, and the window is of 100"
    found = await after(99, 120)
    assert found["accuracy.estimate"] == pytest.approx(1 - chances[20:].mean(), abs=1e-6)
    state = await monitor.accuracy()
    assert state is not None
    assert found["accuracy.lower"] == pytest.approx(state.lower, abs=1e-6)
    assert found["accuracy.upper"] == pytest.approx(state.upper, abs=1e-6)


async def test_without_error_probabilities_there_is_no_accuracy(image_bundle: Bundle) -> None:
    monitor, _, recorder, clock = parts(image_bundle)
    monitor.observe(Blocks.of(image_bundle.reference.scores[:200]))
    clock.seconds = 5
    await recorder.sample()
    assert all(np.isnan(recorder.history.newest()[name][-1]) for name in ACCURACY)


async def test_it_goes_on_after_a_failure(image_bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    monitor, metrics, _, _ = parts(image_bundle)
    calls = 0

    def totals() -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("once")
        return metrics.totals(ROUTES)

    recorder = Recorder(monitor, totals, 1.0, sample_seconds=0.001)  # type: ignore[arg-type]  # totals as a function

    task = asyncio.create_task(recorder.keep_recording())
    while recorder.history.total < 2:
        await asyncio.sleep(0.001)
    task.cancel()
    assert "cannot take a sample for the page" in caplog.text
