"""Prepares batches on a separate thread while the network trains on earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")

AHEAD = 4


def prefetch(items: Iterable[Item], ahead: int = AHEAD) -> Iterator[Item]:
    """The same items in the same order, with up to `ahead` of them prepared early; errors of the thread are raised
    here.
    """
    made: Queue[tuple[Item | None, BaseException | None]] = Queue(ahead)
    left = Event()

    def make() -> None:
        try:
            for item in items:
                made.put((item, None))
                if left.is_set():
                    return
            made.put((None, StopIteration()))
        except BaseException as error:
            made.put((None, error))

    thread = Thread(target=make, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, end = made.get()
            if isinstance(end, StopIteration):
                return
            if end is not None:
                raise end
            assert item is not None
            yield item
    finally:
        left.set()
        while thread.is_alive():  # it may be waiting for space
            while not made.empty():
                made.get()
            thread.join(0.01)
