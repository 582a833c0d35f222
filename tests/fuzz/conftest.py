"""What fuzzing leaves behind is put right."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _logs_again() -> Iterator[None]:
    """Targets are silent, for a log of 200,000 refusals helps nobody; other tests read it."""
    yield
    logging.disable(logging.NOTSET)
