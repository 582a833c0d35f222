"""Services in this process that change their bundles."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harmgauge.app import Service, build
from harmgauge.bundle.rows import Rows
from harmgauge.settings import load


def service_of(bundle: Path, **settings: object) -> Service:
    given = {f"HARMGAUGE_{name.upper()}": str(value) for name, value in settings.items()}
    service = build(load({"HARMGAUGE_BUNDLE": str(bundle), "HARMGAUGE_WORKERS": "2", **given}))
    service.switch.start()
    return service


def run(test: Callable[[Service], object], bundle: Path, **settings: object) -> None:
    async def whole() -> None:
        service = service_of(bundle, **settings)
        try:
            await test(service)  # type: ignore[misc]  # a coroutine
        finally:
            await service.switch.close()
            service.abandon()

    asyncio.run(whole())


async def score(service: Service, rows: Rows) -> npt.NDArray[np.float32]:
    return (await service.switch.current.components.scorer.score(rows)).scores


def version(service: Service) -> str:
    return service.switch.current.bundle.manifest.version


def inference_threads() -> set[threading.Thread]:
    """The threads themselves, not their number, which may also fall: threads of an earlier test may still be ending."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("inference-")}
