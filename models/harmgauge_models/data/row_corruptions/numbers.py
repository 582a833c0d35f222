"""Faults of measured numbers: noise, other units, other precision."""

from __future__ import annotations

import numpy as np

from harmgauge_models.data.row_corruptions.clean_rows import CleanRows, Float64, by_severity, other_rows, some_columns

FACTORS = (1.8, 2.54, 12.0, 60.0, 1000.0)
"""Factors between degrees, lengths, a year's months, minutes and seconds, thousands."""


def gaussian_noise(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Noise on every number."""
    size = by_severity((0.1, 0.25, 0.5, 1.0, 2.0), severity) * rows.spread * rows.measured
    return rows.flat + size * random.normal(size=rows.flat.shape)


def heavy_noise(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Outliers on a few numbers of every row (Student's t with 2 degrees of freedom)."""
    hit = random.random(rows.flat.shape) < by_severity((0.05, 0.1, 0.2, 0.3, 0.5), severity)
    return rows.flat + 2 * rows.spread * (hit & rows.measured) * random.standard_t(2, size=rows.flat.shape)


def offset(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A miscalibrated sensor: every number of all rows shifted by the same step, up or down by column."""
    step = by_severity((0.1, 0.25, 0.5, 1.0, 2.0), severity) * rows.spread * rows.measured
    moved: Float64 = rows.flat + step * random.choice([-1, 1], rows.flat.shape[1])
    return moved


def units(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some columns are in other units: multiplied or divided by a factor."""
    factor = by_severity(FACTORS, severity) ** random.choice([-1, 1], (len(rows.flat), 1))
    return np.where(some_columns(rows, rows.measured, 2, random), rows.flat * factor, rows.flat)


def log_scale(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some columns are log-transformed by mistake: log(1 + |x|) with the sign of x."""
    hit = some_columns(rows, rows.measured, severity, random)
    return np.where(hit, np.sign(rows.flat) * np.log1p(np.abs(rows.flat)), rows.flat)


def negated(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Some columns have the wrong sign."""
    return np.where(some_columns(rows, rows.measured, severity, random), -rows.flat, rows.flat)


def rounded(rows: CleanRows, severity: int, _: np.random.Generator) -> Float64:
    """Every number is rounded to a coarse grid."""
    step = by_severity((0.5, 1.0, 1.5, 2.0, 3.0), severity) * rows.spread
    return np.where(rows.measured, step * np.rint(rows.flat / step), rows.flat)


def saturated(rows: CleanRows, severity: int, _: np.random.Generator) -> Float64:
    """Every number is clipped to a narrow range around the median."""
    reach = by_severity((1.5, 1.0, 0.7, 0.4, 0.15), severity) * rows.spread
    middle = rows.quantiles[2]
    return np.where(rows.measured, rows.flat.clip(middle - reach, middle + reach), rows.flat)


def averaged(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Every number is mixed with that of another row, as by a join that blurs."""
    share = by_severity((0.1, 0.2, 0.35, 0.5, 0.7), severity)
    strangers = rows.flat[other_rows(len(rows.flat), random)]
    return np.where(rows.measured, (1 - share) * rows.flat + share * strangers, rows.flat)
