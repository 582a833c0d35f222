"""Faults in a table's pipeline, for columns of any kind."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.row_corruptions.clean_rows import (
    SHARES,
    CleanRows,
    Float64,
    by_severity,
    other_rows,
    some_columns,
)


def _all(rows: CleanRows) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.ones(rows.flat.shape[1], bool)


def stuck(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some columns are stuck at the values of one old row, the same for all."""
    old = rows.flat[random.integers(len(rows.flat))]
    return np.where(some_columns(rows, _all(rows), severity, random), old, rows.flat)


def swapped(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some columns exchange their values in rotation."""
    hit = some_columns(rows, _all(rows), severity, random)
    width = rows.flat.shape[1]
    if width < 2:
        return rows.flat
    few = hit.sum(1) < 2  # a single column has no other to swap with
    hit[few] = False
    pairs = np.argpartition(random.random((len(hit), width)), 1, axis=1)[:, :2]
    np.put_along_axis(hit, np.where(few[:, None], pairs, np.argmax(hit, 1)[:, None]), values=True, axis=1)
    order = np.argsort(~hit, axis=1, kind="stable")
    count = hit.sum(1, keepdims=True)
    place = np.arange(width)
    follower = np.where(place < count, (place + 1) % np.maximum(1, count), place)
    source = np.empty_like(order)
    np.put_along_axis(source, order, np.take_along_axis(order, follower, 1), axis=1)
    return np.take_along_axis(rows.flat, source, 1)


def other_row(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some columns come from another row, as by a join on the wrong key."""
    hit = some_columns(rows, _all(rows), severity, random)
    return np.where(hit, rows.flat[other_rows(len(rows.flat), random)], rows.flat)


def out_of_range(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A few columns lie above or below everything ever measured, further at higher severity."""
    beyond = by_severity((0.2, 0.5, 1.0, 3.0, 10.0), severity)
    low, high = rows.quantiles[0], rows.quantiles[4]
    span = np.maximum(high - low, rows.spread)
    far = np.where(random.random(rows.flat.shape) < 0.5, high + beyond * span, low - beyond * span)
    return np.where(some_columns(rows, _all(rows), 2, random), far, rows.flat)


def missing(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some values are missing: NaN if the classifier accepts it, otherwise 0."""
    return np.where(some_columns(rows, _all(rows), severity, random), np.nan if rows.missing else 0.0, rows.flat)


def sentinel(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some values are missing, marked by -1 or -999."""
    mark = random.choice([-1.0, -999.0], (1, rows.flat.shape[1]))
    return np.where(some_columns(rows, _all(rows), severity, random), mark, rows.flat)


def shifted_columns(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """From some column on, all values move one column to the right, as after a stray comma; the last value is lost."""
    width = rows.flat.shape[1]
    shifted = max(2, round(by_severity(SHARES, severity) * width))
    starts = random.integers(0, max(1, width - shifted + 1), (len(rows.flat), 1))
    place = np.arange(width)
    source = np.where((place > starts) & (place < starts + shifted), place - 1, place)
    return np.take_along_axis(rows.flat, source, 1)
