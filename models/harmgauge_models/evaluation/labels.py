"""Labels as a file holds them, to classes as the classifier counts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.errors import UserError

Labels = npt.NDArray[np.int64]


def classes(y: Array, class_names: tuple[str, ...], rows: int, path: Path) -> Labels:
    """Labels `y` of `rows` rows as indices into `class_names`, (n,).

    They are names of classes (texts, or numbers if all class names are such) or else indices. Raises UserError.
    """
    if y.shape == (rows, 1):
        y = y[:, 0]
    if y.shape != (rows,) or y.dtype.kind not in "iufbUS":
        raise UserError(
            f"{path}: expected y with one label for each of the {rows} rows, got {y.dtype} {y.shape}: a whole number "
            "or the name of a class each"
        )
    if y.dtype.kind == "f":
        if not np.array_equal(y, np.rint(y)):
            raise UserError(f"{path}: expected whole numbers or names of classes as y, got {y.dtype} such as {y[0]}")
        y = y.astype(np.int64)
    if y.dtype.kind in "US":
        return _by_name(y.astype(str), class_names, path)
    y = y.astype(np.int64)
    texts = y.astype(str)
    if set(np.unique(texts)) <= set(class_names):
        return _by_name(texts, class_names, path)
    if y.min() < 0 or y.max() >= len(class_names):
        raise UserError(
            f"{path} holds labels from {y.min()} to {y.max()}; the bundle has the classes 0 to {len(class_names) - 1}: "
            "give the labels in the order of its class names"
        )
    return y


def _by_name(y: npt.NDArray[np.str_], class_names: tuple[str, ...], path: Path) -> Labels:
    names, places = np.unique(y, return_inverse=True)
    unknown = [str(name) for name in names if name not in class_names]
    if unknown:
        known = ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else "")
        raise UserError(
            f"{path}: y names the class {unknown[0]!r}, which the bundle does not have; it has {known}: give the "
            "labels by those names, or as whole numbers in their order"
        )
    return np.array([class_names.index(str(name)) for name in names], np.int64)[places]
