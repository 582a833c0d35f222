"""Bounds the pixels of all images that are decoded at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from harmgauge.api.waiting import Check, patient

LOOK_SECONDS = 0.1
"""How often a waiting thread checks whether its image is still wanted."""


class PictureRoom:
    """Room for `most_pixels` in total: for one image of the largest size, or for several smaller ones.

    Decoding takes 4 to 16 bytes per pixel. Threads wait for room in the order of their arrival, so that a stream of
    small images does not keep a large one waiting. For use by several threads.
    """

    def __init__(self, most_pixels: int) -> None:
        self.most_pixels = most_pixels
        self._left = most_pixels
        self._changed = Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def taken(self, pixels: int, check: Check = patient) -> Iterator[None]:
        """Hold room for an image of at most `most_pixels`. Exceptions of `check` end the wait."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or self._left < pixels:
                    self._changed.wait(LOOK_SECONDS)
                    check()
                self._left -= pixels
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._left += pixels
                self._changed.notify_all()
