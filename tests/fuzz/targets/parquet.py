"""Bodies in Parquet; see `tables`."""

from __future__ import annotations

from tests.fuzz.targets.tables import PARQUET_TARGET as TARGET

__all__ = ["TARGET"]
