"""Converts users' labels to indices of a classifier's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from harmgauge_models.data.npz_rows import Rows
from harmgauge_models.errors import UserError

SHOWN = 5


def class_names(
    given: Sequence[str], own: Sequence[str] | None, rows: Sequence[Rows], classes: int
) -> tuple[str, ...] | None:
    """The names of the `classes` in the order of the scores: as `given`, otherwise the file's `own`, otherwise the
    sorted labels if they are strings and as many as the classes.

    None if there are no names.
    """
    if given or own:
        return tuple(given or own or ())
    found = {str(name) for part in rows if part.names is not None for name in np.unique(part.names)}
    return tuple(sorted(found)) if len(found) == classes else None


def numbered(rows: Rows, names: Sequence[str] | None, classes: int) -> Rows:
    """The rows with labels 0 .. classes - 1.

    Strings are looked up in `names`, and so are whole numbers if all of them are names, for example with classes called
    1, 2 and 3. Raises UserError for labels that are not classes.
    """
    if rows.names is not None:
        if names is None:
            found = np.unique(rows.names)
            raise UserError(
                f"{rows.path}: y names {len(found)} classes ({_listed(found.tolist())}), but the classifier has "
                f"{classes}: set --class-names in the order of its scores"
            )
        return replace(rows, y=_known_places(rows, rows.names, names), names=None)
    if rows.y is None:
        return rows
    if names is not None and ((named := places(rows.y.astype(np.str_), names)) >= 0).all():
        return replace(rows, y=named)
    least, most = int(rows.y.min()), int(rows.y.max())
    if least < 0 or most >= classes:
        raise UserError(
            f"{rows.path}: y has values from {least} to {most}; expected 0 to {classes - 1}, the position among the "
            f"classifier's {classes} scores" + (": save y - 1" if (least, most) == (1, classes) else "")
        )
    return rows


def places(labels: npt.NDArray[np.str_], names: Sequence[str]) -> npt.NDArray[np.int64]:
    """The index of each label (n,) in `names`, (n,); -1 for unknown labels."""
    place = {name: index for index, name in enumerate(names)}
    found, back = np.unique(labels, return_inverse=True)
    return np.array([place.get(str(label), -1) for label in found], np.int64)[back]


def _known_places(rows: Rows, labels: npt.NDArray[np.str_], names: Sequence[str]) -> npt.NDArray[np.int64]:
    found = places(labels, names)
    unknown = np.unique(labels[found < 0]).tolist()
    if unknown:
        raise UserError(
            f"{rows.path}: y has {_listed(unknown)}, which is not a class; the classes are {_listed(list(names))}: "
            "name them with --class-names, in the order of the classifier's scores"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
