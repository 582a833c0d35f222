"""Reads back and validates a detector's saved state: nothing on disk is trusted.

All functions take the saved arrays and the key of one of them, and raise ValueError if it is missing or invalid.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.drift.window import Held

Dumped = Mapping[str, npt.NDArray[Any] | Held]

MOST_ROWS = 2**53
"""Maximum row count. A float64 cannot count beyond it."""

LATEST_SECONDS = 2.0**32
"""Seconds since 1970: in the year 2106."""


def number(dumped: Dumped, key: str, least: float, most: float) -> float:
    """Read one number from `least` to `most`."""
    array = _scalar(dumped, key, "fiu")
    value = float(array)
    if not least <= value <= most:  # neither does NaN
        raise ValueError(f"{key} is {value:g}, expected a number from {least:g} to {most:g}")
    return value


def whole(dumped: Dumped, key: str, least: int, most: int) -> int:
    """Read one whole number from `least` to `most`."""
    value = int(_scalar(dumped, key, "iu"))
    if not least <= value <= most:
        raise ValueError(f"{key} is {value}, expected a whole number from {least} to {most}")
    return value


def flag(dumped: Dumped, key: str) -> bool:
    """Read a boolean."""
    return bool(_scalar(dumped, key, "b"))


def moment(dumped: Dumped, key: str) -> datetime:
    """Read a time, saved as seconds since 1970."""
    return at(number(dumped, key, 0, LATEST_SECONDS))


def at(seconds: float) -> datetime:
    """The time this many seconds after 1970; raises ValueError for a time that no clock can have shown."""
    if not 0 <= seconds <= LATEST_SECONDS:
        raise ValueError(f"a time is {seconds:g} s after 1970, expected 0 to {LATEST_SECONDS:g}")
    return datetime.fromtimestamp(seconds, UTC)


def ages(dumped: Dumped, shape: tuple[int, ...], now_seconds: float) -> npt.NDArray[np.float64] | None:
    """The ages of rows in seconds, in falling order, from their saved `times` of this shape; None if none were
    saved.
    """
    if "times" not in dumped:
        return None
    times = within(dumped, "times", shape, 0, LATEST_SECONDS)
    # If the clock was set back, times in the future count as new, and ages never increase.
    found: npt.NDArray[np.float64] = np.minimum.accumulate(np.maximum(now_seconds - times, 0))
    return found


def rows(dumped: Dumped, key: str, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Read any number of rows of `shape`, all of whose numbers are finite."""
    array = _array(dumped, key)
    if array.dtype != dtype or array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        raise ValueError(f"{key} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {('n', *shape)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{key} contains numbers that are not finite")
    return array


def within(
    dumped: Dumped, key: str, shape: tuple[int, ...], least: npt.ArrayLike, most: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Read float64 numbers of `shape`, each from `least` to `most`, which may be arrays."""
    array = _array(dumped, key)
    if array.dtype != np.float64 or array.shape != shape:
        raise ValueError(f"{key} is {array.dtype} {array.shape}, expected float64 {shape}")
    if not ((array >= least) & (array <= most)).all():  # nor is NaN
        raise ValueError(f"{key} contains numbers that are too small or too large")
    return array


def has_shape(dumped: Dumped, key: str, shape: tuple[int, ...]) -> bool:
    """Whether the array has this shape."""
    return _array(dumped, key).shape == shape


def _array(dumped: Dumped, key: str) -> npt.NDArray[Any]:
    if key not in dumped:
        raise ValueError(f"{key} is missing")
    return np.asarray(dumped[key])


def _scalar(dumped: Dumped, key: str, kinds: str) -> npt.NDArray[Any]:
    array = _array(dumped, key)
    if array.shape != () or array.dtype.kind not in kinds:
        raise ValueError(f"{key} is {array.dtype} {array.shape}, expected a single value of a different kind")
    return array
