"""The watchdog checks the served bundle while it is served, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from harmgauge.app import build
from harmgauge.errors import NotAlive
from harmgauge.rollout import watchdog
from harmgauge.rollout.watchdog import Watchdog
from harmgauge.settings import load
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def test_workers_that_end_as_they_are_told_are_not_missed(
    image_bundle_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if something takes long to close after them: every such stop used to log an ERROR."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)
    service = build(load({"HARMGAUGE_BUNDLE": str(image_bundle_path)}))
    service.start()
    service.readiness.ready()
    batcher = service.switch.current.components.batcher
    await asyncio.sleep(0.05)
    with caplog.at_level(logging.WARNING):
        closing = asyncio.create_task(service.end(lambda: 1.0))
        await until(lambda: batcher.lost_workers(60) == batcher.workers)
        await asyncio.sleep(0.1)
        await closing
        service.abandon()
        await asyncio.sleep(0.05)
    assert caplog.records == []
    service.readiness.check_alive()


async def test_a_bundle_that_went_out_of_service_during_a_look_is_nobodys_loss(
    image_bundle_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The probe of a failing graph waits; meanwhile another bundle takes over, and the old one's workers end."""
    first, second = (build(load({"HARMGAUGE_BUNDLE": str(image_bundle_path)})) for _ in range(2))
    current = [first.switch.current]
    old = current[0].components.batcher
    old.failed = True

    async def probe_fails(self: Watchdog, serving: object) -> bool:
        current[0] = second.switch.current
        old.close()
        await until(lambda: old.lost_workers(60) == old.workers)
        return True

    monkeypatch.setattr(Watchdog, "_probe_fails", probe_fails)
    watch = Watchdog(lambda: current[0], first.readiness, 60)
    await watch.look()
    assert caplog.records == []
    first.readiness.check_alive()
    await watch.look()
    assert caplog.records == []
    for service in (first, second):
        service.abandon()


async def test_a_load_that_hangs_fails_livez_until_it_ends(image_bundle_path: Path) -> None:
    service = build(load({"HARMGAUGE_BUNDLE": str(image_bundle_path)}))
    hanging: list[str | None] = ["reading /slow"]
    watch = Watchdog(lambda: service.switch.current, service.readiness, 60, lambda: hanging[0])
    service.readiness.ready()
    await watch.look()
    with pytest.raises(NotAlive, match="reading /slow does not finish"):
        service.readiness.check_alive()
    service.readiness.check()
    hanging[0] = None
    await watch.look()
    service.readiness.check_alive()
    service.abandon()
