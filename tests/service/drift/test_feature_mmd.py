"""`feature_mmd` on seeded streams: when it tests, when it alarms, how seldom it does so for nothing."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from service.drift import feature_mmd, mmd
from service.drift.feature_mmd import PERMUTATIONS, FeatureMmd
from service.drift.state import Blocks, DriftState

Features = npt.NDArray[np.float32]

WIDTH = 4


def features(rows: int, seed: int, shift: float = 0.0) -> Features:
    return np.random.default_rng(seed).normal(shift, 1, (rows, WIDTH)).astype(np.float32)


def blocks(rows: Features) -> Blocks:
    return Blocks(np.zeros(len(rows)), np.array([len(rows)]), (None,), rows)


async def looked(detector: FeatureMmd, rows: Features) -> DriftState:
    """The state after these rows came, somebody looked, and the test that this began ended."""
    detector.observe(blocks(rows))
    await detector.state()
    await detector.settled()
    return await detector.state()


def made(reference: Features, window_rows: int, between: int, seed: int | None = 0) -> FeatureMmd:
    """A detector whose clock moves on by an hour at each look: it never rests."""
    hours = itertools.count()
    return FeatureMmd(reference, window_rows, between, clock=lambda: 3600.0 * next(hours), seed=seed)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_warming_then_ok_then_drifting_then_ok_again() -> None:
    async def test() -> None:
        detector = made(features(200, 0), 50, 100_000)
        warming = await looked(detector, features(49, 1))
        assert (warming.state, warming.rows, warming.p_value, warming.statistic) == ("warming", 49, None, None)
        full = await looked(detector, features(1, 2))
        assert (full.state, full.rows, full.reference_rows) == ("ok", 50, 200)
        drifting = await looked(detector, features(50, 3, shift=1))
        assert (drifting.state, drifting.p_value) == ("drifting", 1 / (PERMUTATIONS + 1))
        assert drifting.log10_p_value == pytest.approx(np.log10(1 / 2000))
        again = await looked(detector, features(50, 4))
        assert again.state == "ok"
        assert again.since > drifting.since

    run(test())


def test_figures_are_those_of_the_window() -> None:
    async def test() -> None:
        reference = features(200, 0)
        detector = made(reference, 50, 100_000, 7)
        window = features(50, 1, shift=0.2)
        found = await looked(detector, np.concatenate([features(30, 5), window]))
        expected = mmd.permutation_test(reference, window, PERMUTATIONS, np.random.default_rng(7))
        assert (found.statistic, found.p_value) == (expected.statistic, expected.p_value)
        np.testing.assert_array_equal(detector.recent(), window)

    run(test())


def test_no_row_is_tested_twice() -> None:
    async def test() -> None:
        detector = made(features(200, 0), 50, 100_000)
        first = await looked(detector, features(50, 1))
        same = await looked(detector, features(49, 2, shift=3))
        assert (same.p_value, same.state) == (first.p_value, "ok"), "one of the first rows is still in the window"
        assert (await looked(detector, features(1, 3, shift=3))).state == "drifting"

    run(test())


def test_seldom_alarms_come_from_seldom_tests() -> None:
    """A p-value of 1 / 2000 at the least: for a false alarm in a million rows of windows of 20, one test in 500."""

    async def test() -> None:
        detector = made(features(200, 0), 20, 1_000_000)
        first = await looked(detector, features(20, 1))
        assert first.p_value_threshold == 500 / 1_000_000
        assert (await looked(detector, features(479, 2, shift=3))).state == "ok"
        assert (await looked(detector, features(21, 3, shift=3))).state == "drifting"

    run(test())


def test_false_alarms_are_as_rare_as_was_asked() -> None:
    """10 references, 2000 clean rows each, asked for one in 1000: 20 are allowed, and many more are no chance."""

    async def test() -> None:
        alarms = 0
        for seed in range(10):
            detector = made(features(100, seed), 20, 1000, seed)
            random = np.random.default_rng(1000 + seed)
            for _ in range(100):
                rows = random.normal(0, 1, (20, WIDTH)).astype(np.float32)
                alarms += (await looked(detector, rows)).state == "drifting"
        assert alarms <= 20 + 3.1 * np.sqrt(20)

    run(test())


def test_takes_no_more_than_its_share_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        begun: list[float] = []

        def slow(*_: object) -> mmd.MmdResult:
            begun.append(time.monotonic())
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            return mmd.MmdResult(0.0, 1.0, 1)

        monkeypatch.setattr(mmd, "permutation_test", slow)
        detector = FeatureMmd(features(200, 0), 50, 100_000)
        while len(begun) < 3:
            detector.observe(blocks(features(50, 1)))
            await detector.state()
            await detector.settled()
        assert np.diff(begun).min() >= 0.02 / feature_mmd.LARGEST_SHARE_OF_A_CORE

    run(test())


def test_a_look_does_not_wait_for_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        looked_at = threading.Event()

        def waits(*_: object) -> mmd.MmdResult:
            assert looked_at.wait(10)
            return mmd.MmdResult(0.0, 1.0, 1)

        monkeypatch.setattr(mmd, "permutation_test", waits)
        detector = FeatureMmd(features(200, 0), 50, 100_000)
        detector.observe(blocks(features(50, 1)))
        assert (await detector.state()).state == "warming"
        looked_at.set()
        await detector.settled()
        assert (await detector.state()).state == "ok"

    run(test())


def test_a_test_that_fails_does_not_end_the_detector(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        detector = made(features(200, 0), 50, 100_000)
        with monkeypatch.context() as broken:
            broken.setattr(mmd, "permutation_test", lambda *_: 1 / 0)
            assert (await looked(detector, features(50, 1))).state == "warming"
        assert "could not test its window" in caplog.text
        assert (await looked(detector, features(50, 2))).state == "ok"

    run(test())


def test_a_reset_discards_the_test_that_runs() -> None:
    async def test() -> None:
        detector = made(features(200, 0), 50, 100_000)
        detector.observe(blocks(features(50, 1, shift=3)))
        await detector.state()
        detector.reset()
        await detector.settled()
        after = await detector.state()
        assert (after.state, after.rows, after.p_value) == ("warming", 0, None)

    run(test())


def test_features_that_are_not_finite_stay_out() -> None:
    async def test() -> None:
        detector = made(features(200, 0), 50, 100_000)
        spoiled = features(60, 1)
        spoiled[:10, 2] = np.nan
        found = await looked(detector, spoiled)
        assert (found.rows, found.state) == (50, "ok")
        np.testing.assert_array_equal(detector.recent(), spoiled[10:])

    run(test())


def test_goes_on_after_a_restart() -> None:
    async def test() -> None:
        before = made(features(200, 0), 50, 100_000)
        await looked(before, features(50, 1))
        await looked(before, features(30, 2, shift=3))
        after = made(features(200, 0), 50, 100_000)
        after.restore(before.dump())
        np.testing.assert_array_equal(after.recent(), before.recent())
        assert (await looked(after, features(19, 3, shift=3))).state == "warming"
        assert (await looked(after, features(1, 4, shift=3))).state == "drifting"
        with pytest.raises(ValueError, match="the window's features are"):
            after.restore({"features": np.zeros((3, 9), np.float32), "untested_rows": np.array(0)})

    run(test())


@pytest.mark.parametrize(("window_rows", "between"), [(50, 100), (1, 100_000)])
def test_settings_that_cannot_alarm_are_refused(window_rows: int, between: int) -> None:
    with pytest.raises(ValueError, match=r"too few|at least 2"):
        FeatureMmd(features(200, 0), window_rows, between)
