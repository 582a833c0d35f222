"""Faults in texts and bytes, given as rows of ids that are padded at one end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge_models.data.row_corruptions.clean_rows import CleanRows, Float64, Mask, by_severity, other_rows

Indices = npt.NDArray[np.intp]

RATES = (0.03, 0.07, 0.15, 0.3, 0.5)
"""Share of the tokens affected by a fault, by severity."""


def typos(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Tokens become other existing tokens, uniformly at random."""
    ids = np.unique(rows.flat)
    return np.where(_hit(rows, severity, random), random.choice(ids, rows.flat.shape), rows.flat)


def one_token(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Tokens become one and the same token, like words missing from a tokenizer's vocabulary."""
    return np.where(_hit(rows, severity, random), random.choice(np.unique(rows.flat)), rows.flat)


def tokens_dropped(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Tokens are dropped and the rest moves up."""
    keep = ~_hit(rows, severity, random)
    order = np.argsort(~keep, axis=1, kind="stable")
    moved = np.take_along_axis(rows.flat, order, 1)
    return np.where(np.arange(moved.shape[1]) < keep.sum(1, keepdims=True), moved, _padding(rows))


def tokens_repeated(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Tokens are repeated; what no longer fits is lost."""
    places = np.cumsum(np.hstack([np.zeros((len(rows.flat), 1), int), 1 + _hit(rows, severity, random)]), 1)
    wanted = np.arange(rows.flat.shape[1])
    source = np.stack([np.searchsorted(starts, wanted, "right") - 1 for starts in places])
    return np.take_along_axis(rows.flat, source, 1)


def truncated(rows: CleanRows, severity: int, _: np.random.Generator) -> Float64:
    """The end is cut off and replaced with padding."""
    kept = (1 - by_severity((0.1, 0.25, 0.5, 0.7, 0.9), severity)) * _lengths(rows)
    return np.where(np.arange(rows.flat.shape[1]) < np.ceil(kept), rows.flat, _padding(rows))


def shuffled(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Tokens swap places with nearby ones, within windows of 2 or more."""
    place = np.arange(rows.flat.shape[1])
    window = int(by_severity((2, 4, 8, 16, 64), severity))
    keys = np.where(place < _lengths(rows), place // window + random.random(rows.flat.shape), place + len(place))
    return np.take_along_axis(rows.flat, np.argsort(keys, 1), 1)


def spliced(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A stretch comes from another row."""
    width = rows.flat.shape[1]
    length = max(1, round(by_severity((0.05, 0.1, 0.2, 0.4, 0.7), severity) * width))
    starts = (random.random((len(rows.flat), 1)) * (1 - length / width) * _lengths(rows)).astype(int)
    place = np.arange(width)
    strange = rows.flat[other_rows(len(rows.flat), random)]
    return np.where((place >= starts) & (place < starts + length), strange, rows.flat)


def padding_shifted(rows: CleanRows, severity: int, _: np.random.Generator) -> Float64:
    """Padding is inserted at the front: the row begins later, and its end may be lost."""
    steps = max(1, round(by_severity((0.02, 0.05, 0.1, 0.25, 0.5), severity) * rows.flat.shape[1]))
    shifted = np.full_like(rows.flat, _padding(rows))
    shifted[:, steps:] = rows.flat[:, :-steps]
    return shifted


def ids_shifted(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A different vocabulary: some ids become the next one, consistently in all rows."""
    ids, inverse = np.unique(rows.flat, return_inverse=True)
    moved = np.where(random.random(len(ids)) < by_severity(RATES, severity), np.roll(ids, -1), ids)
    return moved[inverse].reshape(rows.flat.shape)


def _padding(rows: CleanRows) -> float:
    """The most common last value of the rows, which is their padding."""
    values, counts = np.unique(rows.flat[:, -1], return_counts=True)
    return float(values[counts.argmax()])


def _lengths(rows: CleanRows) -> Indices:
    """The lengths of the rows without the padding at the end, (n, 1)."""
    filled = rows.flat != _padding(rows)
    return np.where(filled.any(1), rows.flat.shape[1] - np.argmax(filled[:, ::-1], 1), 0)[:, None].astype(np.intp)


def _hit(rows: CleanRows, severity: int, random: np.random.Generator) -> Mask:
    hit: Mask = random.random(rows.flat.shape) < by_severity(RATES, severity)
    return hit & (np.arange(rows.flat.shape[1]) < _lengths(rows))
