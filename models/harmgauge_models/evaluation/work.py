"""Intermediate results in a folder, keyed by everything that determines them, so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Work:
    """A folder of `.npz` files."""

    folder: Path

    def kept(self, name: str, decided_by: object, make: Callable[[], Arrays]) -> Arrays:
        """The result of `make`, or the stored result of an earlier call with the same `name` and `decided_by`.

        `decided_by` is any JSON value.
        """
        place = self.place(name, decided_by)
        path = place.with_name(f"{place.name}.npz")  # not with_suffix: names may contain a dot
        if path.is_file():
            return read_npz(path)
        arrays = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        with part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        part.replace(path)  # an interrupted run leaves only complete files
        return arrays

    @staticmethod
    def file_name(name: str) -> str:
        """Make a text usable as part of a file name."""
        return re.sub(r"[^\w.-]", "_", name)

    def place(self, name: str, decided_by: object) -> Path:
        """The path of the results with this name and origin."""
        return self.folder / f"{name}-{digest(decided_by)[:12]}"


def digest(decided_by: object) -> str:
    return hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()


def sha256_of(array: npt.NDArray[Any]) -> str:
    """SHA-256 of the values alone, whatever their memory layout; for records, of each field in turn."""
    found = hashlib.sha256()
    for name in array.dtype.names or ("",):
        values = array[name] if name else array
        if values.dtype.kind in "OU":
            found.update(json.dumps(values.tolist()).encode())
        else:
            found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()
