"""Folders of data that tests read in place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(__file__).parents[3] / "shared" / "data"


def data_folder(what: str, name: str, variable: str) -> Path:
    """The folder of that `name` on this machine, or the one that the environment `variable` names; without it the test
    is skipped, but never in CI. `what` is its contents, for messages.
    """
    path = Path(os.environ.get(variable, _SHARED / name))
    if not path.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {what} at {path}")
        pytest.skip(f"no {what} at {path}; name its folder with {variable}=")
    return path
