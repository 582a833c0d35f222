"""The window of P and predicted classes: its content, when accuracy is estimated, and its saved state."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.drift import accuracy
from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.accuracy_window import MAX_CLASSES, AccuracyWindow
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.score_ks import ScoreKs
from harmgauge.drift.state import Blocks
from harmgauge.drift.store import Store

NAMES = ("cat", "dog", "frog")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock in seconds that tests advance."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


def window(rows: int = 1000, names: tuple[str, ...] = NAMES, clock: Clock | None = None) -> AccuracyWindow:
    if clock is None:
        return AccuracyWindow(0.93, 0.05, rows, names)
    return AccuracyWindow(0.93, 0.05, rows, names, max_age_seconds=60, now=clock.now, clock=clock)


def blocks(p: Any, classes: Any = None, times: float | None = None) -> Blocks:
    p = np.asarray(p, np.float32)
    classes = np.zeros(len(p), np.int64) if classes is None else np.asarray(classes, np.int64)
    at = None if times is None else np.full(len(p), times)
    return Blocks(np.zeros(len(p)), np.ones(len(p), np.intp), (None,) * len(p), None, at, p, classes)


def random_blocks(rows: int, seed: int = 0, classes: int = 3) -> Blocks:
    random = np.random.default_rng(seed)
    return blocks(random.random(rows), random.integers(0, classes, rows))


def found(of: AccuracyWindow) -> Accuracy:
    return asyncio.run(of.state())


def test_nothing_is_claimed_before_there_is_something() -> None:
    of = window()
    assert found(of) == Accuracy(None, None, None, 0.93, 0.05, 0, 1000)
    of.observe(random_blocks(99))
    few = found(of)
    assert (few.rows, few.lower, few.upper) == (99, None, None)
    assert few.estimate is not None
    of.observe(random_blocks(1))
    enough = found(of)
    assert enough.lower is not None
    assert enough.upper is not None
    assert enough.lower < few.estimate < enough.upper
    small = window(rows=20)
    small.observe(random_blocks(19))
    assert found(small).lower is None
    small.observe(random_blocks(1))
    assert found(small).lower is not None, "a small window is as full as it gets"


@given(sizes=st.lists(st.integers(1, 40), max_size=12), capacity=st.integers(2, 60))
def test_it_is_the_formula_of_the_newest_rows(sizes: list[int], capacity: int) -> None:
    of = window(rows=capacity)
    parts = [random_blocks(size, seed) for seed, size in enumerate(sizes)]
    for part in parts:
        of.observe(part)
    state = found(of)
    if not parts:
        assert state.rows == 0
        return
    p = np.concatenate([part.error_probability for part in parts if part.error_probability is not None])[-capacity:]
    classes = np.concatenate([part.predictions for part in parts if part.predictions is not None])[-capacity:]
    assert state.rows == len(p)
    assert state.estimate == pytest.approx(1 - p.mean(dtype=np.float64))
    assert [(own.name, own.rows) for own in state.classes] == [
        (name, (classes == index).sum()) for index, name in enumerate(NAMES) if (classes == index).any()
    ]
    for own in state.classes:
        assert own.accuracy == pytest.approx(1 - p[classes == NAMES.index(own.name)].mean(dtype=np.float64))


@given(steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 12)), max_size=20))
def test_rows_that_are_too_old_leave_with_their_classes(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    of = window(rows=10, clock=clock)
    ever: list[tuple[float, float, int]] = []
    random = np.random.default_rng(0)
    for pause_seconds, rows in steps:
        clock.seconds += pause_seconds
        if rows:
            p, classes = random.random(rows).astype(np.float32), random.integers(0, 3, rows)
            of.observe(blocks(p, classes, clock.seconds))
            ever += [(clock.seconds, float(one), int(own)) for one, own in zip(p, classes, strict=True)]
        kept = [(p, own) for time, p, own in ever[-10:] if clock.seconds - time <= 60]
        state = found(of)
        assert state.rows == len(kept)
        assert {own.name: own.rows for own in state.classes} == {
            NAMES[index]: sum(own == index for _, own in kept) for index in {own for _, own in kept}
        }


def test_many_classes_are_not_told_apart() -> None:
    for count, shown in ((MAX_CLASSES, 2), (MAX_CLASSES + 1, 0)):
        of = window(names=tuple(f"class {index}" for index in range(count)))
        of.observe(blocks([0.1, 0.2], [0, count - 1]))
        assert len(found(of).classes) == shown
        assert ("classes" in of.dump()) == (shown > 0), "nor kept"


def test_it_is_estimated_on_a_thread_and_only_after_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    real = accuracy.estimate

    def noting(p: Any) -> float:
        threads.append(threading.current_thread())
        return real(p)

    monkeypatch.setattr(accuracy, "estimate", noting)
    of = window(rows=50)
    of.observe(random_blocks(20))
    assert not threads, "taking rows in estimates nothing"

    async def looks() -> list[Accuracy]:
        return await asyncio.gather(*(of.state() for _ in range(10)))

    assert len(set(map(id, asyncio.run(looks())))) == 1
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
    of.observe(random_blocks(1))
    assert found(of).rows == 21


async def _reset_meanwhile(of: AccuracyWindow) -> Accuracy:
    look = asyncio.create_task(of.state())
    await asyncio.sleep(0)
    of.reset()
    return await look


def test_a_reset_while_it_is_estimated_is_not_undone() -> None:
    of = window()
    of.observe(random_blocks(500))
    before = of.version
    assert asyncio.run(_reset_meanwhile(of)).rows == 0
    assert of.version > before
    assert found(of).rows == 0
    of.observe(random_blocks(500))
    assert of.version > before + 1
    assert found(of).rows == 500


def test_it_goes_on_where_it_was_saved(tmp_path: Path) -> None:
    """It is saved with the detectors; an older file without it is accepted."""
    reference = np.sort(np.random.default_rng(0).normal(size=200))

    def monitor(*, with_accuracy: bool = True) -> Monitor:
        return Monitor([ScoreKs(reference, 100, 10_000)], accuracy=window(200) if with_accuracy else None)

    def saved(before: Monitor, after: Monitor) -> Monitor:
        asyncio.run(Store(tmp_path, "key", before).save())
        Store(tmp_path, "key", after).restore()
        return after

    before = monitor()
    before.observe(random_blocks(150))
    assert asyncio.run(saved(before, monitor()).accuracy()) == asyncio.run(before.accuracy())
    without = saved(before, monitor(with_accuracy=False))
    assert asyncio.run(without.states())["score_ks"].rows == 100
    later = saved(without, monitor())
    found_later = asyncio.run(later.accuracy())
    assert found_later is not None
    assert found_later.rows == 0
    assert asyncio.run(later.states())["score_ks"].rows == 100
    assert not list(tmp_path.glob("*.broken"))
    before.reset()
    emptied = asyncio.run(before.accuracy())
    assert emptied is not None
    assert emptied.rows == 0


def test_rows_keep_their_ages_over_a_restart() -> None:
    clock = Clock()
    before, after = window(clock=clock), window(clock=clock)
    before.observe(blocks([0.1] * 5, times=0.0))
    clock.seconds = 50
    before.observe(blocks([0.2] * 7, [1] * 7, times=50.0))
    after.restore({name: np.array(array) for name, array in before.dump().items()})
    assert found(after) == found(before)
    clock.seconds = 70
    assert (found(after).rows, [own.name for own in found(after).classes]) == (7, ["dog"])


WRONG = [
    ("chances", np.full(3, 1.5, np.float32)), ("chances", np.full(3, -0.1, np.float32)),
    ("chances", np.full(3, np.nan, np.float32)), ("chances", np.zeros(3)), ("chances", np.zeros((3, 1), np.float32)),
    ("classes", np.full(3, 3, np.uint8)), ("classes", np.zeros(2, np.uint8)), ("classes", np.zeros(3, np.int64)),
    ("times", np.zeros(2)), ("times", np.full(3, np.nan)), ("times", np.full(3, 1e12)),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_numbers_that_it_never_saved_are_refused(key: str, value: np.ndarray[Any, Any]) -> None:
    clock = Clock()
    before, after = window(clock=clock), window(clock=clock)
    before.observe(random_blocks(3))
    good = {name: np.array(array) for name, array in before.dump().items()}
    with pytest.raises(ValueError, match=key):
        after.restore(good | {key: value})
    assert found(after).rows == 0
    for missing in ("chances", "classes"):
        with pytest.raises(ValueError, match=missing):
            after.restore({name: array for name, array in good.items() if name != missing})
    after.restore(good)
    assert found(after).rows == 3
