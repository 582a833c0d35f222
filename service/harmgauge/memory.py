"""Memory: what Python has freed and the C library keeps, and what an array keeps from being freed."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import numpy.typing as npt


def give_back() -> None:
    """Give it to the system, where there is a way (glibc's malloc_trim)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def kept_alive_bytes(array: npt.NDArray[Any]) -> int:
    """What stays in memory for as long as the array does: all of a request's body, where it is a view of that."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, bytes | bytearray):
        return len(owner)
    return owner.nbytes if isinstance(owner, np.ndarray) else array.nbytes
