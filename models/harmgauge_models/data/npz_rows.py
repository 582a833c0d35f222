"""Reads the `.npz` files for `build`: `x`, and `y` if known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz
from harmgauge_models.errors import UserError


@dataclass(frozen=True)
class Rows:
    """Instances `x` (n, *shape), numeric, in which NaN is a missing value, and their labels: `y` (n,) whole numbers, or
    `names` (n,) strings until `labels.numbered` converts them; both None if there are no labels.
    """

    path: Path
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64] | None
    names: npt.NDArray[np.str_] | None = None

    @property
    def missing(self) -> bool:
        """Whether any value is missing."""
        return bool(self.x.dtype.kind == "f" and np.isnan(self.x).any())


def read(path: Path, role: str, min_rows: int) -> Rows:
    """Read the `role` data (training, calibration); raises UserError if the file's contents are invalid."""
    if not path.is_file():
        raise UserError(f"there is no {role} file {path}: make one with numpy.savez(path, x=instances)")
    try:
        arrays = read_npz(path)
        x, y = arrays["x"], arrays.get("y")
    except (OSError, ValueError, KeyError) as error:
        remedy = "numpy.savez(path, x=...)"
        if "pickled" in str(error):
            remedy += "; x.astype(numpy.float32) and y.astype(str) convert what pandas holds as objects"
        raise UserError(f"expected an .npz file with a numeric array x, got {path} ({error}): {remedy}") from error
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if x.dtype.kind not in "iuf" or x.ndim < 2:
        raise UserError(
            f"{path}: x is {x.dtype} {x.shape}; expected numbers (n, features) or (n, height, width, channels)"
        )
    if len(x) < min_rows:
        raise UserError(f"{path} holds {len(x)} {role} rows; expected at least {min_rows}")
    if x.dtype.kind == "f" and (infinite := np.isinf(x)).any():
        bad = np.flatnonzero(infinite.reshape(len(x), -1).any(1))
        raise UserError(f"{path}: {len(bad)} {role} rows hold infinity, the first in row {bad[0]}: leave them out")
    return Rows(path, x, *_labels(path, y, len(x)))


def _labels(
    path: Path, y: npt.NDArray[Any] | None, rows: int
) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.str_] | None]:
    """Labels as whole numbers or as strings."""
    if y is None:
        return None, None
    found = labels_of(y, rows)
    if found[0] is None and found[1] is None:
        raise UserError(
            f"{path}: y is {y.dtype} {y.shape}; expected one class for each of the {rows} rows, as a whole number or a "
            "name"
        )
    return found


def labels_of(y: npt.NDArray[Any], rows: int) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.str_] | None]:
    """Labels `y` as whole numbers (n,) or as strings (n,); both None unless there is one number or string per row."""
    if y.shape == (rows, 1):
        y = y[:, 0]
    if y.shape == (rows,):
        if y.dtype.kind in "iub" or (y.dtype.kind == "f" and np.array_equal(y, np.rint(y)) and np.isfinite(y).all()):
            return y.astype(np.int64), None
        if y.dtype.kind in "US":
            return None, y.astype(np.str_)
    return None, None


def provenance(rows: Rows) -> dict[str, Any]:
    """The record of the data in the bundle that was made from it."""
    return {"file": rows.path.name, "rows": len(rows.x), "sha256": sha256_of(rows.path)}


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
