"""Faults of values that are measured one after another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmgauge_models.data.row_corruptions.clean_rows import CleanRows, Float64, by_severity

STRETCHES = (0.05, 0.1, 0.2, 0.4, 0.7)
"""Duration of a fault as a share of the steps, by severity."""


def noise(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Noise on every step."""
    size = by_severity((0.1, 0.25, 0.5, 1.0, 2.0), severity) * _spread(rows)
    return rows.from_steps(rows.steps + size * random.normal(size=rows.steps.shape))


def drift(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """The zero drifts, step by step."""
    ramp = np.linspace(0, 1, rows.steps.shape[1])[:, None] * by_severity((0.25, 0.5, 1.0, 2.0, 4.0), severity)
    return rows.from_steps(rows.steps + ramp * _spread(rows) * _signs(rows, random))


def spikes(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Outliers at single steps."""
    hit = random.random(rows.steps.shape) < by_severity((0.01, 0.03, 0.06, 0.12, 0.25), severity)
    return rows.from_steps(rows.steps + hit * random.choice([-5, 5], rows.steps.shape) * _spread(rows))


def stuck(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """The value does not change for a while."""
    steps = rows.steps
    starts, inside = _stretch(rows, severity, random)
    held = np.take_along_axis(steps, starts[:, :, None], 1)
    return rows.from_steps(np.where(inside[:, :, None], held, steps))


def dropout(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Nothing is measured for a while: NaN if the classifier accepts it, otherwise 0."""
    inside = _stretch(rows, severity, random)[1]
    return rows.from_steps(np.where(inside[:, :, None], np.nan if rows.missing else 0.0, rows.steps))


def gain(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """All steps are multiplied or divided by a factor."""
    factor = by_severity((1.1, 1.3, 1.6, 2.5, 5.0), severity)
    return rows.from_steps(rows.steps * factor ** _signs(rows, random))


def offset(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """All steps are shifted by the same amount, up or down."""
    step = by_severity((0.1, 0.25, 0.5, 1.0, 2.0), severity) * _spread(rows)
    return rows.from_steps(rows.steps + step * _signs(rows, random))


def time_shift(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """The window begins too early or too late: the value at its end is repeated."""
    length = rows.steps.shape[1]
    shift = max(1, round(by_severity((0.02, 0.05, 0.1, 0.2, 0.4), severity) * length))
    source = (np.arange(length) + shift * random.choice([-1, 1], (len(rows.steps), 1))).clip(0, length - 1)
    return rows.from_steps(np.take_along_axis(rows.steps, source[:, :, None], 1))


def time_warp(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """Time runs faster first and slower later, or the other way round; both ends stay in place."""
    power = by_severity((1.1, 1.25, 1.5, 2.0, 3.0), severity) ** random.choice([-1.0, 1.0], (len(rows.steps), 1))
    length = rows.steps.shape[1]
    at = np.linspace(0, 1, length)[None] ** power * (length - 1)
    below = np.floor(at).astype(int).clip(0, max(0, length - 2))
    part = (at - below)[:, :, None]
    above = (below + 1).clip(max=length - 1)
    low, high = (np.take_along_axis(rows.steps, some[:, :, None], 1) for some in (below, above))
    return rows.from_steps((1 - part) * low + part * high)


def smoothed(rows: CleanRows, severity: int, _: np.random.Generator) -> Float64:
    """A moving mean over several steps."""
    length = rows.steps.shape[1]
    width = max(2, round(by_severity((0.03, 0.06, 0.12, 0.25, 0.5), severity) * length))
    padded = np.pad(rows.steps, ((0, 0), (width // 2, width - 1 - width // 2), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    return rows.from_steps(windows.mean(-1))


def coarse_steps(rows: CleanRows, severity: int, _: np.random.Generator) -> Float64:
    """The series is sampled less often: each value is held for several steps."""
    length = rows.steps.shape[1]
    every = min(length, int(by_severity((2, 3, 5, 8, 16), severity)))
    return rows.from_steps(rows.steps[:, np.arange(length) // every * every])


def reversed_stretch(rows: CleanRows, severity: int, random: np.random.Generator) -> Float64:
    """A stretch runs backwards."""
    starts, inside = _stretch(rows, severity, random)
    ends = starts + inside.sum(1, keepdims=True) - 1
    place = np.arange(rows.steps.shape[1])
    source = np.where(inside, starts + ends - place, place)
    return rows.from_steps(np.take_along_axis(rows.steps, source[:, :, None], 1))


def _spread(rows: CleanRows) -> Float64:
    """The spread of each channel over all rows and steps, (channels,), above 0."""
    found = np.nanstd(rows.steps, axis=(0, 1))
    return np.where(found > 0, found, 1.0)


def _signs(rows: CleanRows, random: np.random.Generator) -> Float64:
    """-1 or 1 for each row and channel, (n, 1, channels)."""
    return random.choice([-1.0, 1.0], (len(rows.steps), 1, rows.steps.shape[2]))


def _stretch(
    rows: CleanRows, severity: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """A random stretch of each row: its first step, (n, 1), and a mask of its steps, (n, steps)."""
    length = rows.steps.shape[1]
    lasts = min(length, max(2, round(by_severity(STRETCHES, severity) * length)))
    starts = random.integers(0, length - lasts + 1, (len(rows.steps), 1)).astype(np.intp)
    place = np.arange(length)
    return starts, (place >= starts) & (place < starts + lasts)
