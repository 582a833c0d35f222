"""Puts checked values together to rows: lengths, padding and categories."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harmgauge.api.body.named.plan import Plan
from harmgauge.api.said import LONGEST, clipped_to, quoted
from harmgauge.bundle.named_inputs import is_by_column
from harmgauge.bundle.named_rows import NamedRows, Positions, offsets_of
from harmgauge.bundle.rows import Array
from harmgauge.errors import UnknownCategory, Unprocessable

Lengths = Mapping[str, Positions]
"""The length (n,) of each row, by the name of an input with a free axis."""


def place(row: int, key: str) -> str:
    """The name of a value in an error: `instances[3].age`."""
    return f"instances[{row}].{clipped_to(LONGEST, key)}"


def assemble(
    fixed: dict[str, Array], free: dict[str, Array], lengths: Lengths, plan: Plan, first: int = 0
) -> NamedRows:
    """Rows of values that have the inputs' dtypes and ranges; `first` is the number of the first in its request.

    Raises Unprocessable for rows without or beyond the maximum length, for inputs that differ in length, and for
    strings outside their categories if the input refuses them.
    """
    flagged, unseen = _categories(fixed, plan, first)
    if not free:
        return NamedRows(fixed, flagged=flagged, unseen=unseen)
    names = list(free)
    own = lengths[names[0]]
    for name in names[1:]:
        differs = lengths[name] != own
        if differs.any():
            row = int(np.argmax(differs))
            raise Unprocessable(
                f"{place(first + row, name)} has length {lengths[name][row]}, but {names[0]!r} has {own[row]}; "
                "expected the same length."
            )
    if not own.all():
        raise Unprocessable(f"{place(first + int(np.argmin(own)), names[0])}: expected at least one element.")
    values, offsets = plan.inputs.trimmed(free, offsets_of(own))
    kept, most = np.diff(offsets), plan.inputs.maximum
    if most is not None and kept.max() > most:
        row = int(np.argmax(kept > most))
        raise Unprocessable(
            f"{place(first + row, names[0])} has length {kept[row]}; expected at most {most}: shorten it, as in the "
            "classifier's training."
        )
    return NamedRows(fixed, values, offsets, flagged, unseen)


def _categories(fixed: dict[str, Array], plan: Plan, first: int) -> tuple[Array | None, dict[str, int]]:
    """The rows to flag (n,), or None, and the number of strings outside their categories, by column."""
    flagged: Array | None = None
    unseen: dict[str, int] = {}
    for name, known in plan.categories.items():
        found = plan.inputs.by_name[name]
        array = fixed[name].reshape(len(fixed[name]), -1)
        for position in range(array.shape[1]):
            values = array[:, position].tolist()
            if known.issuperset(values):
                continue
            is_new = [value not in known and not (found.missing and not value) for value in values]
            if not any(is_new):
                continue
            key = found.columns[position].name if found.columns is not None and is_by_column(found) else name
            if found.unknown == "refuse":
                row = is_new.index(True)
                raise UnknownCategory(
                    f"{place(first + row, key)}: {quoted(values[row])} is not one of its {len(known)} categories.", key
                )
            unseen[key] = unseen.get(key, 0) + sum(is_new)
            if found.unknown == "flag":
                flagged = np.array(is_new) if flagged is None else flagged | np.array(is_new)
    return flagged, unseen
