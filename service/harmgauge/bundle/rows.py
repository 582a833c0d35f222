"""Instances as arrays."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]

Rows = Array
"""Instances `(n, *shape)` in the bundle's dtype."""
