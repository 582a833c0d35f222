"""Reads the `.npz` files of an evaluation."""

from __future__ import annotations

from pathlib import Path

from harmgauge.bundle.npz import read_npz
from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError

MIN_ROWS = 200
"""With fewer rows, results by severity and by kind would be meaningless."""


def read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of an `.npz` file. Raises UserError."""
    try:
        return read_npz(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not a readable .npz file ({error}): write it with numpy.savez, without objects"
        ) from error
