"""Reads the rows for `build`: `.npz` files with `x` or an array for each input, or tables, and labels if known."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Array
from harmgauge_models.data.frames import SUFFIXES, read_frame
from harmgauge_models.errors import UserError
from harmgauge_models.graphs import records
from harmgauge_models.graphs.inputs import arrays_of, missing_at

LABEL = "y"
"""The usual name of the labels."""


@dataclass(frozen=True)
class Rows:
    """Instances `x` in which NaN is a missing value: numbers or strings (n, *shape), or records with a field for each
    named array or column. Their labels are `y` (n,) whole numbers, or `names` (n,) strings until `labels.numbered`
    converts them; both None if there are no labels. `sha256` is that of the file or folder.
    """

    path: Path
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64] | None
    names: npt.NDArray[np.str_] | None = None
    sha256: str = ""

    @property
    def missing(self) -> bool:
        """Whether any value is missing."""
        return bool(missing_at(self.x).any())


def read(path: Path, role: str, min_rows: int, label: str | None = None, inputs: Collection[str] = ()) -> Rows:
    """Read the `role` data (training, calibration), with the labels in the array or column `label` (by default y).

    An `.npz` file holds x or, for a network with several `inputs`, an array for each of them. Raises UserError if the
    file's contents are invalid.
    """
    if not path.is_file():
        raise UserError(f"there is no {role} file {path}: make one with numpy.savez(path, x=instances)")
    is_table = path.suffix in SUFFIXES
    arrays = read_frame(path) if is_table else _arrays(path)
    if label is not None and label not in arrays:
        raise UserError(
            f"--label {label}: {path} has no such {'column' if is_table else 'array'}; it has {_listed(arrays)}"
        )
    y = arrays.pop(label or LABEL, None)
    x = (
        _named(path, arrays)
        if is_table or "x" not in arrays or (len(inputs) > 1 and set(inputs) <= set(arrays))
        else _x(path, arrays["x"])
    )
    if len(x) < min_rows:
        raise UserError(f"{path} holds {len(x)} {role} rows; expected at least {min_rows}")
    for name, values in arrays_of(x).items():
        if values.dtype.kind == "f" and (infinite := np.isinf(values)).any():
            bad = np.flatnonzero(infinite.reshape(len(values), -1).any(1))
            of = f" in {name!r}" if name else ""
            raise UserError(
                f"{path}: {len(bad)} {role} rows hold infinity{of}, the first in row {bad[0]}: leave them out"
            )
    return Rows(path, x, *_labels(path, y, len(x), label or LABEL), sha256_of(path))


def _arrays(path: Path) -> dict[str, Array]:
    try:
        arrays = read_npz(path)
        if not set(arrays) - {LABEL}:
            raise KeyError("x is not a file in the archive")
    except (OSError, ValueError, KeyError) as error:
        remedy = "numpy.savez(path, x=...)"
        if "pickled" in str(error):
            remedy += "; x.astype(numpy.float32), and y.astype(str) for strings, convert what pandas holds as objects"
        raise UserError(f"expected an .npz file with a numeric array x, got {path} ({error}): {remedy}") from error
    return arrays


def _x(path: Path, x: Array) -> Array:
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if x.dtype.kind in "US" and (x.ndim == 1 or x.shape[1:] == (1,)):
        return x.astype(np.str_).reshape(len(x), 1)
    if x.dtype.kind not in "iuf" or x.ndim < 2:
        raise UserError(
            f"{path}: x is {x.dtype} {x.shape}; expected numbers (n, features) or (n, height, width, channels)"
        )
    return x


def _named(path: Path, arrays: dict[str, Array]) -> Array:
    """Records of the arrays. Raises UserError unless each has a value for every row."""
    sizes = {name: len(values) if values.ndim else -1 for name, values in arrays.items()}
    if len(set(sizes.values())) > 1 or -1 in sizes.values():
        shown = ", ".join(f"{name} {arrays[name].shape}" for name in list(arrays)[:5])
        raise UserError(f"{path}: every array must have one entry for each row; the arrays are {shown}")
    return records.make_records(arrays)


def _listed(arrays: Collection[str]) -> str:
    names = sorted(arrays)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _labels(
    path: Path, y: npt.NDArray[Any] | None, rows: int, label: str = LABEL
) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.str_] | None]:
    """Labels as whole numbers or as strings."""
    if y is None:
        return None, None
    found = labels_of(y, rows)
    if found[0] is None and found[1] is None:
        raise UserError(
            f"{path}: {label} is {y.dtype} {y.shape}; expected one class for each of the {rows} rows, as a whole "
            "number or a name"
        )
    return found


def labels_of(y: npt.NDArray[Any], rows: int) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.str_] | None]:
    """Labels `y` as whole numbers (n,) or as strings (n,); both None unless there is one number or string per row."""
    if y.shape == (rows, 1):
        y = y[:, 0]
    if y.shape == (rows,):
        if y.dtype.kind in "iub" or (y.dtype.kind == "f" and np.array_equal(y, np.rint(y)) and np.isfinite(y).all()):
            return y.astype(np.int64), None
        if y.dtype.kind in "US" or (y.dtype.kind == "O" and all(isinstance(label, str) for label in y)):
            return _from_text(y.astype(np.str_))
    return None, None


def _from_text(y: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.int64] | None, npt.NDArray[np.str_] | None]:
    """Labels from text: whole numbers if all of them are written as such."""
    if all(label.isdecimal() and label.isascii() and str(int(label)) == label for label in np.unique(y)):
        return y.astype(np.int64), None
    return None, y


def provenance(rows: Rows) -> dict[str, Any]:
    """The record of the data in the bundle that was made from it."""
    return {"file": rows.path.name, "rows": len(rows.x), "sha256": rows.sha256}


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
