"""Converts a file's labels to the classifier's class indices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array
from harmgauge_models.data.labels import places
from harmgauge_models.data.npz_rows import labels_of
from harmgauge_models.errors import UserError

Labels = npt.NDArray[np.int64]


def classes(y: Array, class_names: tuple[str, ...], rows: int, path: Path) -> Labels:
    """Convert labels `y` of `rows` rows to indices into `class_names`, (n,).

    They are either names of classes (strings, or numbers if all class names are numbers) or indices. Raises UserError.
    """
    numbers, texts = labels_of(y, rows)
    if texts is not None:
        found = places(texts, class_names)
        if (found < 0).any():
            known = ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else "")
            unknown = str(np.unique(texts[found < 0])[0])
            raise UserError(
                f"{path}: y names the class {unknown!r}, which the bundle does not have; its classes are {known}: use "
                "these names as labels, or whole numbers in their order"
            )
        return found
    if numbers is None:
        raise UserError(
            f"{path}: expected y with one label for each of the {rows} rows, whole numbers or names of classes, got "
            f"{y.dtype} {y.shape}"
        )
    found = places(numbers.astype(np.str_), class_names)
    if (found >= 0).all():
        return found
    if numbers.min() < 0 or numbers.max() >= len(class_names):
        raise UserError(
            f"{path} holds labels from {numbers.min()} to {numbers.max()}; the bundle has the classes 0 to "
            f"{len(class_names) - 1}: number the labels in the order of its class names"
        )
    return numbers
