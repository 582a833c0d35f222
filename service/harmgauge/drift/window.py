"""The newest rows: scores, or vectors of features.

They are stored in chunks of about 32 KiB, each written once from start to end. So a snapshot of a window needs no
copying, and can be copied on a thread while more rows arrive.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.rows import Array

PART_BYTES = 2**15


@dataclass(frozen=True)
class Held:
    """An immutable snapshot of a window, oldest first, with `plus` added to each number.

    NumPy accepts it as an array, by copying it.
    """

    parts: tuple[Array, ...]
    plus: float = 0.0

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def nbytes(self) -> int:
        """Total size of the rows in bytes."""
        return sum(part.nbytes for part in self.parts)

    def joined(self) -> Array:
        """A copy, (rows,) or (rows, width); call it on a thread unless the window is small."""
        rows: Array = np.concatenate(self.parts)
        if self.plus:
            rows += self.plus
        return rows

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self.joined(), dtype)


class Window:
    """The newest `capacity` rows: numbers, or vectors of `width`.

    Memory does not grow with traffic; adding a row copies its bytes.
    """

    def __init__(self, capacity: int, width: int | None = None, dtype: npt.DTypeLike = np.float64) -> None:
        if capacity < 2:
            raise ValueError(f"expected a window of at least 2 rows, got {capacity}")
        self.capacity = capacity
        self.total = 0
        """Rows ever added."""
        one_row = np.empty((0,) if width is None else (0, width), dtype)
        row_bytes = one_row.dtype.itemsize * (1 if width is None else width)
        self._part_shape = (max(1, PART_BYTES // max(1, row_bytes)), *one_row.shape[1:])
        self._dtype = one_row.dtype
        self._parts: deque[Array] = deque([np.empty(self._part_shape, self._dtype)])
        self._left = 0  # rows of the first chunk that have left the window
        self._filled = 0  # rows of the last chunk that have been written
        self._rows = 0

    @property
    def rows(self) -> int:
        return self._rows

    def extend(self, rows: npt.NDArray[np.floating | np.integer]) -> None:
        """Add rows (n,) or (n, width), oldest first. Raises ValueError, and adds none, if a number is not finite."""
        if not np.isfinite(rows).all():
            raise ValueError("a non-finite score must not enter a window")
        self.total += len(rows)
        newest = rows[-self.capacity :]
        part_rows = self._part_shape[0]
        while len(newest):
            if self._filled == part_rows:
                self._parts.append(np.empty(self._part_shape, self._dtype))
                self._filled = 0
            count = min(len(newest), part_rows - self._filled)
            self._parts[-1][self._filled : self._filled + count] = newest[:count]
            self._filled += count
            self._rows += count
            newest = newest[count:]
        self.drop(self._rows - self.capacity)

    def held(self) -> Held:
        """A snapshot of the window, without copying."""
        first, *others = self._parts
        if not others:
            return Held((first[self._left : self._filled],))
        return Held((first[self._left :], *others[:-1], others[-1][: self._filled]))

    def snapshot(self) -> Array:
        """A copy of the window, oldest first: `held().joined()`."""
        return self.held().joined()

    def drop(self, count: int) -> None:
        """Remove the `count` oldest rows; none if `count` is below 1."""
        self._left += max(0, count)
        self._rows -= max(0, count)
        while self._left >= self._part_shape[0] and len(self._parts) > 1:
            self._parts.popleft()
            self._left -= self._part_shape[0]


class AgedWindow(Window):
    """A window of scores that expire once they are older than `max_age_seconds`.

    `clock` returns seconds and never runs backwards. Scores are timestamped as they are added, so times never decrease.
    """

    def __init__(
        self,
        capacity: int,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        dtype: npt.DTypeLike = np.float64,
    ) -> None:
        super().__init__(capacity, dtype=dtype)
        self._times = Window(capacity)
        self._newest_time = -np.inf
        self._max_age_seconds = max_age_seconds
        self._clock = clock

    @property
    def rows(self) -> int:
        self._drop_old()
        return self._rows

    def extend(self, rows: npt.NDArray[np.floating | np.integer], ages: npt.NDArray[np.floating] | None = None) -> None:
        """Like `Window.extend`; `ages` (n,), in seconds and in falling order, are for scores that are not new."""
        super().extend(rows)
        if len(rows):
            times = self._clock() - (np.zeros(len(rows)) if ages is None else ages)
            times = np.maximum.accumulate(np.maximum(times, self._newest_time))
            self._newest_time = float(times[-1])
            self._times.extend(times)

    def held(self) -> Held:
        self._drop_old()
        return super().held()

    def held_with_times(self, now_seconds: float) -> tuple[Held, Held]:
        """The rows now in the window, and their times in seconds since 1970, given the current time `now_seconds`: the
        clock does not continue over a restart.
        """
        self._drop_old()
        return super().held(), Held(self._times.held().parts, now_seconds - self._clock())

    def _drop_old(self) -> None:
        """Remove the scores that have expired. Removed scores never return, so each is checked once."""
        now = self._clock()
        while True:
            first = self._times.held().parts[0]
            old = int(np.count_nonzero(now - first > self._max_age_seconds))
            if not old:
                return
            self.drop(old)
            self._times.drop(old)
            if old < len(first):
                return


def newest(
    capacity: int,
    max_age_seconds: float | None,
    clock: Callable[[], float] = time.monotonic,
    dtype: npt.DTypeLike = np.float64,
) -> Window:
    """A window of the newest `capacity` numbers, which also expire by age with `max_age_seconds`."""
    if max_age_seconds is None:
        return Window(capacity, dtype=dtype)
    return AgedWindow(capacity, max_age_seconds, clock, dtype)
