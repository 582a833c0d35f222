"""The whole application in this process, called as by a server."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from harmgauge.api.data_plane import THREAD_BODY_BYTES
from harmgauge.app import build
from harmgauge.settings import load
from tests.support.asgi import score_raw
from tests.support.toy import instances

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("surplus", "status"), [(b"", 200), (b"x", 422), (b"x" * THREAD_BODY_BYTES, 422)])
@pytest.mark.parametrize("more", [{}, {"HARMGAUGE_ACCESS_LOG": "all", "HARMGAUGE_TRACING": "true"}])
async def test_requests_leave_nothing_for_the_cycle_collector(
    image_bundle_path: Path, surplus: bytes, status: int, more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cycle would keep each body in memory until the collector runs: this used to be 200 MiB under load."""
    body = instances(1, (4, 4, 3)).tobytes() + surplus
    # No thread that sends spans is at work meanwhile.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2048")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")

    service = build(load({"HARMGAUGE_BUNDLE": str(image_bundle_path)} | more))
    service.readiness.ready()
    statuses: list[int] = []
    for _ in range(50):
        statuses.append(await score_raw(service, body))
    gc.collect()
    gc.disable()
    try:
        for _ in range(200):
            statuses.append(await score_raw(service, body))
        garbage = gc.collect()
    finally:
        gc.enable()
        service.switch.current.close()
        service.access_log.close(10)
    assert statuses == [status] * 250
    assert garbage < 200
