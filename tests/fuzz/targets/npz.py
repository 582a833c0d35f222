"""Bodies in `.npz`; see `tables`."""

from __future__ import annotations

from tests.fuzz.targets.tables import NPZ_TARGET as TARGET

__all__ = ["TARGET"]
