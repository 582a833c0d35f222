"""Memory that Python has freed and the C library keeps, and memory that an array prevents from being freed."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def give_back() -> None:
    """Return freed memory to the system, if possible (glibc's malloc_trim)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def keep_at_hand(size_bytes: int) -> None:
    """Make the C library keep two blocks of this size (16 MiB at most) for reuse.

    The first touch of new memory takes 2 us per page, or 20 ms for two blocks of 16 MiB. glibc takes a block from its
    own heap, and does not return it, once a larger one has been allocated and freed.
    """
    size_bytes = min(size_bytes, 16 * 2**20)
    larger = bytes(size_bytes + size_bytes // 4)
    del larger
    touched = [bytearray(b"\1") * (size_bytes + size_bytes // 8), bytearray(b"\1") * size_bytes]
    del touched


def free_in_cgroup_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory still available before the container's limit (cgroup v2 or v1), in bytes; None without a limit.

    Cached files count as free because the system evicts them first.
    """
    for limit, used, statistics, cached in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        try:
            limit_bytes = int((cgroup / limit).read_text())
            used_bytes = int((cgroup / used).read_text())
            words = (line.split() for line in (cgroup / statistics).read_text().splitlines())
            cached_bytes = next((int(word[1]) for word in words if word[0] == cached), 0)
        except (OSError, ValueError):  # "max": no limit
            continue
        return max(limit_bytes - used_bytes + cached_bytes, 0)
    return None


def kept_alive_bytes(array: npt.NDArray[Any]) -> int:
    """Bytes that stay in memory as long as the array: all of a request's body if the array is a view of it."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, bytes | bytearray):
        return len(owner)
    return owner.nbytes if isinstance(owner, np.ndarray) else array.nbytes
