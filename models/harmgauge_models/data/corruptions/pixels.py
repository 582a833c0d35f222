"""Helpers for the corruptions: conversion of pixels to 0..1 and back, a level for each severity, resampling."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array

Images = npt.NDArray[np.uint8]
"""Images as (n, height, width, 3) uint8 in the order red, green, blue."""

Level = TypeVar("Level")

SEVERITIES = (1, 2, 3, 4, 5)


def at(severity: int, *levels: Level) -> Level:
    """The parameter for this severity, from the five in order. Raises ValueError for any other severity."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity}: expected a whole number from 1 to 5")
    return levels[severity - 1]


def unit(images: Images) -> npt.NDArray[np.float32]:
    """Convert pixels to 0..1."""
    return images.astype(np.float32) / np.float32(255)


def to_uint8(images: Array) -> Images:
    """Convert from 0..1, clipping and rounding down, as in the benchmark."""
    clipped: Images = np.clip(images * 255, 0, 255).astype(np.uint8)
    return clipped


def sample(images: Array, rows: Array, columns: Array) -> Array:
    """Sample `images` (n, h, w, c) at real-valued `rows` and `columns` (n, h', w'): bilinear, mirrored at the
    borders.
    """
    count, height, width, channels = images.shape
    row, column = np.floor(rows).astype(np.int32), np.floor(columns).astype(np.int32)
    down, right = (rows - row)[..., None], (columns - column)[..., None]
    # One flat index is twice as fast as an index for each axis
    pixels = np.ascontiguousarray(images).reshape(-1, channels)
    first = (np.arange(count) * height * width)[:, None, None]
    up, low = (first + width * _mirror(row + step, height) for step in (0, 1))
    left, next_right = (_mirror(column + step, width) for step in (0, 1))
    upper = pixels.take(up + left, axis=0) * (1 - right) + pixels.take(up + next_right, axis=0) * right
    lower = pixels.take(low + left, axis=0) * (1 - right) + pixels.take(low + next_right, axis=0) * right
    found: Array = upper * (1 - down) + lower * down
    return found


def zoom(images: Array, factor: float) -> Array:
    """Magnify the middle of `images` (n, h, w, c) by `factor`: bilinear, keeping the shape."""
    by_row, by_column = (_zoom_weights(size, factor) for size in images.shape[1:3])
    rows = np.einsum("ij,njwc->niwc", by_row, images, optimize=True)
    found: Array = np.einsum("ij,nhjc->nhic", by_column, rows, optimize=True)
    return found


def _zoom_weights(size: int, factor: float) -> Array:
    """The matrix (size, size) that maps the pixels of one axis to those of its magnified middle."""
    kept = int(np.ceil(size / factor))
    enlarged = max(size, round(kept * factor))
    first = (enlarged - size) // 2
    places = (size - kept) // 2 + np.linspace(0, kept - 1, enlarged)[first : first + size]
    weights: Array = 1 - np.abs(places[:, None] - np.arange(size))
    return np.maximum(weights, 0).astype(np.float32)


def _mirror(index: Array, size: int) -> Array:
    """Fold back indices beyond 0..size-1, without repeating the border pixel."""
    period = max(1, 2 * (size - 1))
    folded = np.abs(index) % period
    found: Array = np.minimum(folded, period - folded)
    return found
