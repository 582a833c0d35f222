"""Memory that Python has freed and the C library keeps."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Give it to the system, where there is a way (glibc's malloc_trim)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
