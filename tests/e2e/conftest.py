"""The running service that most end-to-end tests share, one for each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import RunningService, running_service

MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path, max_body_bytes=MAX_BODY_BYTES) as running:
        yield running
