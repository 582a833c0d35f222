"""Faults of vectors: embeddings, and sparse counts or weights."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.row_corruptions.clean_rows import CleanRows, Float64, by_severity, other_rows

PARTS = (0.05, 0.15, 0.3, 0.5, 0.8)


def scaled(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A different normalisation: the whole row is multiplied or divided by a factor."""
    return rows.flat * by_severity((1.2, 1.5, 2.0, 4.0, 10.0), severity) ** random.choice([-1, 1], (len(rows.flat), 1))


def dimensions_dropped(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some dimensions are 0, the same ones in all rows."""
    return rows.flat * (random.random(rows.flat.shape[1]) >= by_severity(PARTS, severity))


def entries_dropped(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Entries are lost, different ones in each row."""
    return rows.flat * (random.random(rows.flat.shape) >= by_severity(PARTS, severity))


def entries_added(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Entries of another row are added."""
    strange = rows.flat[other_rows(len(rows.flat), random)]
    return rows.flat + strange * (random.random(rows.flat.shape) < by_severity((0.1, 0.3, 0.5, 0.7, 1.0), severity))


def entries_reweighted(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Each entry is multiplied by its own log-normal factor; zeros stay 0."""
    factors: Float64 = np.exp(by_severity((0.2, 0.5, 0.8, 1.2, 2.0), severity) * random.normal(size=rows.flat.shape))
    return rows.flat * factors


def vocabulary_shifted(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A different vocabulary: some columns exchange their entries, the same ones in all rows."""
    width = rows.flat.shape[1]
    hit = np.flatnonzero(random.random(width) < by_severity(PARTS, severity))
    source = np.arange(width)
    source[hit] = np.roll(hit, 1)
    return rows.flat[:, source]


def signs_flipped(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some dimensions change their sign, different ones in each row."""
    hit = random.random(rows.flat.shape) < by_severity((0.02, 0.05, 0.1, 0.2, 0.4), severity)
    return np.where(hit, -rows.flat, rows.flat)


def blended(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Two inputs in one: part of another row is added, and the length is kept."""
    share = by_severity((0.1, 0.2, 0.35, 0.5, 0.7), severity)
    mixed = (1 - share) * rows.flat + share * rows.flat[other_rows(len(rows.flat), random)]
    before, after = (np.linalg.norm(np.nan_to_num(some), axis=1, keepdims=True) for some in (rows.flat, mixed))
    longer: Float64 = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    return mixed * longer
