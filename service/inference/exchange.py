"""Two folders change places in one step, so that at no moment either place is empty."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """Exchange two paths of one file system, by Linux's renameat2; raises OSError where it cannot be done.

    Elsewhere (macOS) it takes two steps, between which `other` lies beside its place, whole.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        aside = one.with_name(f"{one.name}-before")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)
        return
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))
