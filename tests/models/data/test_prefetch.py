"""Items made ahead on a thread: the same items, and no thread remains."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from harmgauge_models.data.prefetch import prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


def test_the_same_items_in_the_same_order() -> None:
    assert list(prefetch(range(100), ahead=3)) == list(range(100))
    assert list(prefetch([])) == []
    assert not threads()


def test_what_the_maker_raises_is_raised_after_what_it_made() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    seen: list[int] = []
    with pytest.raises(ValueError, match="no more"):
        seen.extend(prefetch(items()))
    iterator = prefetch(items())
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="no more"):
        next(iterator)
    assert not threads()


def test_leaving_early_ends_the_thread() -> None:
    iterator = prefetch(range(1_000_000), ahead=2)
    assert next(iterator) == 0
    iterator.close()  # type: ignore[attr-defined]  # a generator has it
    assert not threads()
