"""Reading `.npz` files that may be anything."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt


def read_npz(file: Path | IO[bytes]) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an `.npz` file, none unpickled.

    Raises OSError where it cannot be read, ValueError whatever else is wrong.
    """
    if isinstance(file, Path):
        with file.open("rb") as stream:  # numpy leaves a file open that it cannot read
            return read_npz(stream)
    try:
        loaded = np.load(file, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array; numpy.savez names them")
        with loaded as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (BadZipFile, EOFError, zlib.error, KeyError, RuntimeError) as error:  # RuntimeError: "is encrypted"
        raise ValueError(str(error) or type(error).__name__) from error
