"""A small heap for the collector: each swap collects the garbage of the bundle that it retires."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def _what_earlier_files_left_is_not_collected() -> None:
    """Exempt objects of earlier test files from collection: visiting them takes longer than a swap."""
    gc.collect()
    gc.freeze()
