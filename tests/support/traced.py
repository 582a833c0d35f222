"""The real service with tracing, and a request to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.process import RAW, RunningService, running_service
from tests.support.toy import instances

SHAPE = (4, 4, 3)
ROWS = instances(3, SHAPE)
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


@contextmanager
def traced_service(bundle: Path, variables: Mapping[str, str], **settings: object) -> Iterator[RunningService]:
    """A running service that sends traces, with these OpenTelemetry variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with running_service(bundle, tracing="true", **settings) as service:
            yield service


def score(service: RunningService, **headers: str) -> httpx.Response:
    return service.client.post("/score", content=ROWS.tobytes(), headers=RAW | headers)
