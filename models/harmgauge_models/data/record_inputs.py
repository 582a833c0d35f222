"""Completes the description of named inputs with what normal rows show: categories, missing values, ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harmgauge.bundle.inputs import Input
from harmgauge.bundle.rows import Array
from harmgauge_models.graphs import records

MOST_CATEGORIES = 1000
LEAST_ROWS_EACH = 5
"""A column of strings names categories if each of them has this many rows on average; otherwise it is text."""

MOST_LISTED = 300_000
"""Characters of all categories together: the manifest has at most 1 MiB."""

MOST_CHARACTERS = 200
"""A longer string is a text."""


def with_values(inputs: Sequence[Input], rows: Sequence[Array], maximum: int | None) -> tuple[Input, ...]:
    """The inputs as seen in all `rows`; a free axis is limited to `maximum`, if given."""
    found, characters = [], 0
    for taken in inputs:
        seen = _with_values(taken, [x[taken.name] for x in rows], maximum)
        characters += sum(map(len, seen.categories or ()))
        found.append(seen if characters <= MOST_LISTED else seen.model_copy(update={"categories": None}))
    return tuple(found)


def _with_values(taken: Input, values: Sequence[Array], maximum: int | None) -> Input:
    if taken.is_text:
        categories = _categories(values) if taken.shape in ((), (1,)) else None
        return taken.model_copy(
            update={"categories": categories, "missing": any((some == "").any() for some in values)}
        )
    changes: dict[str, object] = {}
    if any(some.dtype.kind == "f" and np.isnan(some).any() for some in values):
        changes["missing"] = True
    if None in taken.shape and maximum is not None:
        changes["maximum"] = maximum
    if is_mask(taken) and all(((some == 0) | (some == 1)).all() for some in values):
        changes["range"] = (0.0, 1.0)
    return taken.model_copy(update=changes)


def is_mask(taken: Input) -> bool:
    """Whether an input marks the padding of a free axis."""
    return None in taken.shape and "mask" in taken.name.lower() and taken.vocabulary_size is None


def _categories(values: Sequence[Array]) -> tuple[str, ...] | None:
    """The distinct strings, sorted, without the empty one; None if there are too many or too long ones."""
    every = np.concatenate([some.reshape(-1) for some in values])
    return tuple(sorted(set(every.tolist()) - {""})) if are_categories(every) else None


def are_categories(strings: Array) -> bool:
    """Whether strings (n,) name categories; otherwise they are texts."""
    found = set(strings.tolist()) - {""}
    return (
        bool(found)
        and len(found) <= min(MOST_CATEGORIES, len(strings) / LEAST_ROWS_EACH)
        and max(map(len, found)) <= MOST_CHARACTERS
    )


def one_row(x: Array, inputs: Sequence[Input]) -> Array:
    """A record that is typical of `x` and equals no single row: medians, the commonest category, the commonest id at
    each place, an empty text.
    """
    arrays = {}
    lengths = records.row_lengths(x)
    length = None if lengths is None else max(1, int(np.quantile(lengths, 0.1)))
    for taken in inputs:
        values = x[taken.name]
        if taken.is_text:
            kept = "" if taken.categories is None else _commonest(values.reshape(-1).astype(str))
            arrays[taken.name] = np.full((1, *values.shape[1:]), kept, object)
        elif None in taken.shape and length is not None:
            columns = values[:, :length].T
            arrays[taken.name] = np.array([[_commonest(column) for column in columns]], values.dtype)
        else:
            known = values[~np.isnan(values.reshape(len(x), -1)).any(1)] if values.dtype.kind == "f" else values
            middle = np.quantile(known, 0.5, axis=0, method="lower") if len(known) else np.zeros(values.shape[1:])
            arrays[taken.name] = np.asarray(middle, values.dtype)[None]
    return records.make_records(arrays)


def _commonest(values: Array) -> object:
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()].item()
