"""`feature_mmd` on seeded streams: when it tests, when it alarms, and how rare false alarms are."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harmgauge.drift import feature_mmd, mmd
from harmgauge.drift.feature_mmd import MAX_SAVED_BYTES, MOST_PERMUTATIONS, FeatureMmd
from harmgauge.drift.state import Blocks, DriftState

pytestmark = pytest.mark.anyio

Features = npt.NDArray[np.float32]

WIDTH = 4


def features(rows: int, seed: int, shift: float = 0.0) -> Features:
    return np.random.default_rng(seed).normal(shift, 1, (rows, WIDTH)).astype(np.float32)


def blocks(rows: Features) -> Blocks:
    return Blocks(np.zeros(len(rows)), np.array([len(rows)]), (None,), rows)


async def looked(detector: FeatureMmd, rows: Features) -> DriftState:
    """The state after these rows arrived, the state was read, and the test that this started has ended."""
    detector.observe(blocks(rows))
    await detector.state()
    await detector.settled()
    return await detector.state()


def made(reference: Features, window_rows: int, between: int, seed: int | None = 0) -> FeatureMmd:
    """A detector whose clock advances by an hour at each read, so that it never rests."""
    hours = itertools.count()
    return FeatureMmd(reference, window_rows, between, clock=lambda: 3600.0 * next(hours), seed=seed)


async def test_warming_then_ok_then_drifting_then_ok_again() -> None:
    detector = made(features(200, 0), 50, 100_000)
    warming = await looked(detector, features(49, 1))
    assert (warming.state, warming.rows, warming.p_value, warming.statistic) == ("warming", 49, None, None)
    full = await looked(detector, features(1, 2))
    assert (full.state, full.rows, full.reference_rows) == ("ok", 50, 200)
    drifting = await looked(detector, features(50, 3, shift=1))
    assert (drifting.state, drifting.p_value) == ("drifting", 1 / 10_000)
    assert drifting.log10_p_value == pytest.approx(np.log10(1 / 10_000))
    again = await looked(detector, features(50, 4))
    assert again.state == "ok"
    assert again.since > drifting.since


async def test_figures_are_those_of_the_window() -> None:
    reference = features(200, 0)
    detector = made(reference, 50, 100_000, 7)
    window = features(50, 1, shift=0.2)
    found = await looked(detector, np.concatenate([features(30, 5), window]))
    expected = mmd.permutation_test(reference, window, 9999, np.random.default_rng(7))
    assert (found.statistic, found.p_value) == (expected.statistic, expected.p_value)
    np.testing.assert_array_equal(detector.recent(), window)


async def test_no_row_is_tested_twice() -> None:
    detector = made(features(200, 0), 50, 100_000)
    first = await looked(detector, features(50, 1))
    same = await looked(detector, features(49, 2, shift=3))
    assert (same.p_value, same.state) == (first.p_value, "ok"), "one of the first rows is still in the window"
    assert (await looked(detector, features(1, 3, shift=3))).state == "drifting"


async def test_seldom_alarms_come_from_seldom_tests() -> None:
    """The least p-value is 1 / 20,000: one false alarm in 2 million rows allows a test every 500 rows."""
    detector = made(features(200, 0), 20, 2_000_000)
    first = await looked(detector, features(20, 1))
    assert first.p_value_threshold == 1 / (MOST_PERMUTATIONS + 1)
    assert first.details == {"rows_between_tests": 500, "tested_at": first.since, "untested_rows": 0}
    resting = await looked(detector, features(479, 2, shift=3))
    assert (resting.state, resting.details["untested_rows"]) == ("ok", 479)
    assert (await looked(detector, features(21, 3, shift=3))).state == "drifting"


async def test_false_alarms_are_as_rare_as_was_asked() -> None:
    """20 references with 2000 clean rows each, one false alarm in 200 rows requested: a fifth of 200, within chance."""
    alarms = 0
    for seed in range(20):
        detector = made(features(100, seed), 20, 200, seed)
        random = np.random.default_rng(1000 + seed)
        for _ in range(100):
            rows = random.normal(0, 1, (20, WIDTH)).astype(np.float32)
            alarms += (await looked(detector, rows)).state == "drifting"
    assert 15 <= alarms <= 100


async def test_takes_no_more_than_its_share_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[float] = []

    def slow(*_: object) -> mmd.MmdResult:
        begun.append(time.monotonic())
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass
        return mmd.MmdResult(0.0, 1.0, 1)

    monkeypatch.setattr(mmd, "permutation_test", slow)
    detector = FeatureMmd(features(200, 0), 50, 100_000)
    while len(begun) < 3:
        detector.observe(blocks(features(50, 1)))
        await detector.state()
        await detector.settled()
    assert np.diff(begun).min() >= 0.005 / feature_mmd.LARGEST_SHARE_OF_A_CORE


async def test_a_look_does_not_wait_for_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_test_that_fails_does_not_end_the_detector(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    detector = made(features(200, 0), 50, 100_000)
    with monkeypatch.context() as broken:
        broken.setattr(mmd, "permutation_test", lambda *_: 1 / 0)
        assert (await looked(detector, features(50, 1))).state == "warming"
    assert "could not test its window" in caplog.text
    assert (await looked(detector, features(50, 2))).state == "ok"


async def test_a_reset_discards_the_test_that_runs() -> None:
    detector = made(features(200, 0), 50, 100_000)
    detector.observe(blocks(features(50, 1, shift=3)))
    await detector.state()
    await asyncio.sleep(0)  # it begins
    detector.reset()
    await detector.settled()
    after = await detector.state()
    assert (after.state, after.rows, after.p_value) == ("warming", 0, None)


async def test_features_that_are_not_finite_stay_out() -> None:
    detector = made(features(200, 0), 50, 100_000)
    spoiled = features(60, 1)
    spoiled[:10, 2] = np.nan
    found = await looked(detector, spoiled)
    assert (found.rows, found.state) == (50, "ok")
    np.testing.assert_array_equal(detector.recent(), spoiled[10:])


@pytest.mark.parametrize("shift", [0, 3])
async def test_goes_on_after_a_restart(shift: float) -> None:
    """With its saved state, and without testing a row twice."""
    before = made(features(200, 0), 50, 100_000)
    await looked(before, features(70, 1))
    version = before.version
    found = await looked(before, features(50, 2, shift))
    assert before.version > version + 50, "a test is a change as well"
    before.observe(blocks(features(30, 3)))
    after = made(features(200, 0), 50, 100_000)
    after.restore(before.dump())
    again = await looked(after, features(19, 4, 3 - shift))
    for name in ("state", "p_value", "statistic", "since"):
        assert getattr(again, name) == getattr(found, name)
    assert again.details == {**found.details, "untested_rows": 30 + 19}
    assert again.state == ("drifting" if shift else "ok")
    window = np.concatenate([features(30, 3), features(19, 4, 3 - shift)])
    np.testing.assert_array_equal(after.recent().joined()[1:], window)
    assert (await looked(after, features(1, 5, 3 - shift))).p_value != found.p_value


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": np.zeros((3, 9), np.float32)},
        {"features": np.zeros((3, WIDTH))},
        {"last": np.array([1.0, 2.0])},
        {"last": np.array([0.1, 0.1, np.inf, 5])},
        {"total_rows": np.array(np.inf)},
    ],
)
def test_a_state_that_does_not_fit_is_refused(wrong: dict[str, npt.NDArray[Any]]) -> None:
    detector = made(features(200, 0), 50, 100_000)
    with pytest.raises(ValueError, match=r"^(features|last|total_rows) (is|contains)"):
        detector.restore(detector.dump() | wrong)


async def test_a_window_too_large_to_be_saved_again_and_again_is_not() -> None:
    wide = np.zeros((200, 4096), np.float32)
    detector = FeatureMmd(wide, 500, 1_000_000)
    detector.observe(blocks(np.zeros((500, 4096), np.float32)))
    assert detector.recent().nbytes > MAX_SAVED_BYTES
    dumped = detector.dump()
    assert np.shape(dumped["features"]) == (0, 4096)
    after = FeatureMmd(wide, 500, 1_000_000)
    after.restore(dumped)
    assert (await after.state()).rows == 0


def test_features_that_are_dropped_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    detector = made(features(200, 0), 50, 100_000)
    for _ in range(3):
        detector.observe(blocks(np.full((2, WIDTH), np.nan, np.float32)))
    assert caplog.text.count("ignores features that are not finite") == 1


@pytest.mark.parametrize(("window_rows", "between"), [(50, 100), (1, 100_000)])
def test_settings_that_cannot_alarm_are_refused(window_rows: int, between: int) -> None:
    with pytest.raises(ValueError, match=r"too few|at least 2"):
        FeatureMmd(features(200, 0), window_rows, between)
