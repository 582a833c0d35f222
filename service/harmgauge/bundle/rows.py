"""Instances as arrays."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

Rows = npt.NDArray[Any]
"""Instances `(n, *shape)` in the bundle's dtype."""
