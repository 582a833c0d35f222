"""Restores global state after fuzzing."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _logs_again() -> Iterator[None]:
    """Targets disable logging, because nobody needs 200,000 logged refusals; other tests need it."""
    yield
    logging.disable(logging.NOTSET)
