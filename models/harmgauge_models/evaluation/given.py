"""Reads the user's own corrupted rows: `--corrupted FILE.npz`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

from harmgauge.bundle.rows import Array
from harmgauge_models.data.frames import SUFFIXES, read_frame
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.measure import Copy
from harmgauge_models.evaluation.reading import read_arrays
from harmgauge_models.graphs.records import make_records

NO_SEVERITY = 0


def read(
    paths: tuple[Path, ...], rows: int, taken: Collection[str], check: Callable[[Array, str], Array]
) -> dict[Copy, Array]:
    """By kind and severity, the corrupted copies (n, *shape) of `rows` clean rows, validated and converted by `check`.

    An array is named KIND or KIND-SEVERITY, and so is a table's file; for the array `x` the kind is the file's name. A
    kind that is in `taken` or occurs twice gets its file's name as a prefix. Raises UserError.
    """
    found: dict[Copy, Array] = {}
    for path in paths:
        if not path.is_file():
            raise UserError(
                f"--corrupted {path} does not exist: make it with numpy.savez, with one array for each kind"
            )
        is_table = path.suffix in SUFFIXES
        arrays = {path.stem: make_records(read_frame(path))} if is_table else read_arrays(path)
        labels = arrays.get("y")
        if labels is not None and labels.ndim <= 2 and labels.size == rows:
            del arrays["y"]  # the labels in --data apply
        if not arrays:
            raise UserError(
                f"--corrupted {path} holds no corrupted rows: expected an array for each kind, such as KIND-3"
            )
        for name, given in arrays.items():
            if given.ndim == 0 or len(given) != rows:
                raise UserError(
                    f"--corrupted {path}: {name} is {given.dtype} {given.shape}; expected {rows} rows, each the "
                    "corrupted copy of the same row of --data"
                )
            kind, severity = _copy(path.stem if name == "x" else name)
            if kind in taken or (kind, severity) in found:
                kind = f"{path.stem}:{kind}"
            if (kind, severity) in found:
                raise UserError(f"--corrupted {path} repeats the kind {kind}: give each kind a unique name")
            found[kind, severity] = check(given, f"--corrupted {path}: {name}")
    return found


def _copy(name: str) -> Copy:
    match = re.fullmatch(r"(.+)-([1-5])", name)
    return (match[1], int(match[2])) if match else (name, NO_SEVERITY)
