"""The `.npz` files that `build` takes: `x`, and `y` where it is known."""

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
    """Instances `x` (n, *shape), finite numbers, and their labels `y` (n,) or None."""

    path: Path
    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64] | None


def read(path: Path, role: str, min_rows: int) -> Rows:
    """Read the `role` data (training, calibration); raises UserError where it is not what the file must hold."""
    if not path.is_file():
        raise UserError(f"there is no {role} file {path}: make one with numpy.savez(path, x=instances)")
    try:
        arrays = read_npz(path)
        x, y = arrays["x"], arrays.get("y")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no .npz file with a numeric array x ({error}): numpy.savez(path, x=...)") from error
    if x.dtype.kind not in "iuf" or x.ndim < 2:
        raise UserError(
            f"{path}: x is {x.dtype} {x.shape}; numbers (n, features) or (n, height, width, channels) are due"
        )
    if len(x) < min_rows:
        raise UserError(f"{path} holds {len(x)} {role} rows; at least {min_rows} are needed")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(1))
        raise UserError(
            f"{path}: {len(bad)} {role} rows hold NaN or infinity, the first is row {bad[0]}: leave them out"
        )
    if y is not None and (y.shape != (len(x),) or y.dtype.kind not in "iu"):
        raise UserError(f"{path}: y is {y.dtype} {y.shape}; one whole number for each of the {len(x)} rows is due")
    return Rows(path, x, None if y is None else y.astype(np.int64))


def provenance(rows: Rows) -> dict[str, Any]:
    """What a bundle says of the data it was made from."""
    return {"file": rows.path.name, "rows": len(rows.x), "sha256": sha256_of(rows.path)}


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
