"""Disturbances along the steps of a series: rows (n, d), each of `shape` with its time axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harmgauge_models.data.row_disturbances.pool import Disturbance, Mask, Pool, Values

Planes = npt.NDArray[np.float64]
"""Series as (n, channels, steps), in which the steps of each channel are contiguous."""


def planes(flat: npt.NDArray[np.float64], pool: Pool) -> Planes:
    """Convert rows (n, d) to (n, channels, steps)."""
    shape, axis = pool.columns.shape, pool.columns.time_axis
    assert axis is not None
    moved = np.moveaxis(flat.reshape(-1, *shape), axis, -1)
    return np.ascontiguousarray(moved.reshape(len(flat), -1, shape[axis - 1]))


def flat_rows(found: Planes, pool: Pool) -> Values:
    """Convert series back to rows (n, d)."""
    shape, axis = pool.columns.shape, pool.columns.time_axis
    assert axis is not None
    others = [size for index, size in enumerate(shape) if index != axis - 1]
    moved = np.moveaxis(found.reshape(len(found), *others, shape[axis - 1]), -1, axis)
    return np.ascontiguousarray(moved).reshape(len(found), -1)


def along_time(change: Callable[[Planes, Planes, np.random.Generator], Planes]) -> Disturbance:
    """Turn `change(planes, spread (1, channels, steps), random)` into a disturbance of flat rows."""

    def disturb(rows: Values, mask: Mask, pool: Pool, random: np.random.Generator) -> Values:
        return flat_rows(change(planes(rows, pool), planes(pool.spread[None], pool), random), pool)

    disturb.__doc__ = change.__doc__
    return disturb


def _gather(x: Planes, source: npt.NDArray[np.float64]) -> Planes:
    """Values at real-valued steps `source` (n, 1, steps), by linear interpolation; the ends are repeated."""
    steps = x.shape[2]
    at = np.clip(source, 0, steps - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, steps - 1)
    part = at - low
    shape = x.shape
    take = [np.take_along_axis(x, np.broadcast_to(index, shape), axis=2) for index in (low, high)]
    # A missing neighbour does not affect a step that is hit exactly.
    return np.where(part == 0, take[0], take[0] * (1 - part) + take[1] * part)


def _uniform(x: Planes, low: float, high: float, random: np.random.Generator) -> Planes:
    return random.uniform(low, high, (len(x), 1, 1))


def ramp(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """A sensor drifts up or down by up to 4 spreads."""
    return x + _uniform(x, -4, 4, random) * spread * np.linspace(0, 1, x.shape[2])


def wave(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Add hum: a sine wave of one or more periods."""
    steps = x.shape[2]
    periods = np.exp(_uniform(x, 0, np.log(max(steps / 2, 2)), random))
    phase = _uniform(x, 0, 2 * np.pi, random)
    found: Planes = x + _uniform(x, 0.1, 2, random) * spread * np.sin(
        phase + 2 * np.pi * periods * np.arange(steps) / steps
    )
    return found


def spikes(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Outliers at single steps."""
    hit = random.random(x.shape) < _uniform(x, 0.01, 0.3, random)
    return x + hit * spread * random.normal(0, 6, x.shape)


def stuck(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Hold the value of one step for the steps that follow, up to a random one."""
    steps = np.arange(x.shape[2])
    begin = np.floor(_uniform(x, 0, x.shape[2] - 1, random))
    end = begin + np.ceil(_uniform(x, 1, x.shape[2], random))
    return _gather(x, np.where((steps >= begin) & (steps < end), begin, steps).astype(np.float64))


def dropped(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Set a stretch, or scattered steps, to 0 or to the row's own mean."""
    steps = np.arange(x.shape[2])
    begin = _uniform(x, -0.2 * x.shape[2], x.shape[2], random)
    stretch = (steps >= begin) & (steps < begin + _uniform(x, 1, x.shape[2], random))
    scattered = random.random((len(x), 1, x.shape[2])) < _uniform(x, 0.05, 0.7, random)
    lost = np.where(_uniform(x, 0, 1, random) < 0.5, stretch, scattered)
    known = np.isfinite(x)
    mean = np.where(known, x, 0).sum(2, keepdims=True) / np.maximum(known.sum(2, keepdims=True), 1)
    filling = np.where(_uniform(x, 0, 1, random) < 0.5, 0.0, mean)
    return np.where(lost, filling, x)


def turned(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Reverse the steps."""
    return x[:, :, ::-1]


def moved(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Shift early or late by up to half of the row, either wrapping around or repeating the end value."""
    steps = x.shape[2]
    source = np.arange(steps) + np.rint(_uniform(x, -steps / 2, steps / 2, random))
    return _gather(x, np.where(_uniform(x, 0, 1, random) < 0.5, source % steps, source))


def warped(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Sample faster or slower, evenly or not."""
    steps = x.shape[2]
    at = np.linspace(0, 1, steps)
    power = np.exp(_uniform(x, -1, 1, random))
    rate = np.exp(_uniform(x, -1, 1, random))
    return _gather(x, np.where(_uniform(x, 0, 1, random) < 0.5, at**power, at * rate) * (steps - 1))


def smoothed(x: Planes, spread: Planes, random: np.random.Generator) -> Planes:
    """Average the known values in a window of 2 steps to half of the row."""
    steps = x.shape[2]
    width = np.exp(_uniform(x, np.log(2), np.log(max(steps / 2, 3)), random))
    known = np.isfinite(x)
    at = np.arange(steps)
    begin, end = np.clip(np.floor(at - width / 2), 0, steps - 1), np.clip(np.ceil(at + width / 2), 1, steps)
    ends = [np.broadcast_to(index.astype(np.int64), x.shape) for index in (begin, end)]
    sums, counts = (_window_sums(some, ends) for some in (np.where(known, x, 0), known.astype(np.float64)))
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _window_sums(x: Planes, ends: list[npt.NDArray[np.int64]]) -> Planes:
    total = np.concatenate([np.zeros((*x.shape[:2], 1)), x.cumsum(2)], axis=2)
    begin, end = (np.take_along_axis(total, index, axis=2) for index in ends)
    return np.asarray(end - begin)


SERIES: dict[str, Disturbance] = {
    change.__name__: along_time(change)
    for change in (ramp, wave, spikes, stuck, dropped, turned, moved, warped, smoothed)
}
