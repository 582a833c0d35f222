"""Artefacts that are made once for a whole test run, however many processes it has."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def once_per_run(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """This process's copy of a folder that `make` fills; the first process to need it makes it, the others wait.

    Each process has a copy, because paths may be written to. `make` gets an empty folder, and may store no absolute
    paths in it. If `make` fails, the next process tries again.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    whole, part = shared / f"{name}-once", shared / f"{name}-once.part"
    with (shared / f"{name}-once.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.is_dir():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            make(part)
            part.rename(whole)
    copy = factory.mktemp(name)
    shutil.copytree(whole, copy, dirs_exist_ok=True)
    return copy
