"""Windows and evidence on disk: they are restored exactly, and nothing on disk prevents a start."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest

from harmgauge.drift.monitor import Monitor
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.score_ks import ScoreKs
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.drift.store import Store

REFERENCE = np.sort(np.random.default_rng(0).normal(size=500))


def monitor(window_rows: int = 100) -> Monitor:
    return Monitor([ScoreKs(REFERENCE, window_rows, 10_000), ScoreEvidence(REFERENCE, 10_000, 0.01, seed=0)])


def fed(rows: int, shift: float = 0) -> Monitor:
    made = monitor()
    made.observe(Blocks.of(np.random.default_rng(1).normal(shift, 1, rows), 1))
    return made


def states(of: Monitor) -> dict[str, DriftState]:
    return asyncio.run(of.states())


def save(of: Monitor, folder: Path, key: str = "key") -> Path:
    asyncio.run(Store(folder, key, of).save())
    return folder / f"drift-{key}.npz"


@pytest.mark.parametrize(("rows", "shift"), [(0, 0), (40, 0), (1000, 0), (1000, 2)])
def test_what_comes_back_is_what_was(tmp_path: Path, rows: int, shift: float) -> None:
    before, after = fed(rows, shift), monitor()
    save(before, tmp_path)
    Store(tmp_path, "key", after).restore()
    for name, state in states(before).items():
        again = states(after)[name]
        assert (again.state, again.rows, again.p_value) == (state.state, state.rows, state.p_value)
        assert again.statistic == state.statistic
        np.testing.assert_array_equal(again.scores, state.scores)
    more = Blocks.of(np.random.default_rng(2).normal(size=50), 1)
    for each in (before, after):
        each.observe(more)
    assert states(before)["score_ks"].p_value == states(after)["score_ks"].p_value
    assert states(after)["score_evidence"].rows == rows + 50


def test_the_alarm_stays_over_a_restart_with_the_time_it_began(tmp_path: Path) -> None:
    before, after = fed(1000, 2), monitor()
    save(before, tmp_path)
    Store(tmp_path, "key", after).restore()
    assert states(after)["score_evidence"].state == "drifting"
    assert states(after)["score_evidence"].since == states(before)["score_evidence"].since


def test_another_window_size_takes_the_newest(tmp_path: Path) -> None:
    before, after = fed(1000), monitor(window_rows=50)
    save(before, tmp_path)
    Store(tmp_path, "key", after).restore()
    scores = states(before)["score_ks"].scores
    assert scores is not None
    np.testing.assert_array_equal(states(after)["score_ks"].scores, scores[-50:])


def test_another_key_finds_nothing(tmp_path: Path) -> None:
    save(fed(1000), tmp_path)
    after = monitor()
    Store(tmp_path, "other", after).restore()
    assert states(after)["score_ks"].rows == 0


def test_a_file_cut_anywhere_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = save(fed(300), tmp_path).read_bytes()
    for size in [*range(0, len(whole), 37), len(whole) - 1]:
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "drift-key.npz").write_bytes(whole[:size])
        after = monitor()
        Store(folder, "key", after).restore()
        assert states(after)["score_ks"].rows == 0
        assert states(after)["score_evidence"].rows == 0
        assert len(list(folder.glob("*.broken"))) == 1
        assert not (folder / "drift-key.npz").exists()
    assert "set aside" in caplog.text


def test_no_flipped_bit_stops_a_start(tmp_path: Path) -> None:
    """One that marks an array as encrypted used to raise an uncaught error."""
    whole = save(fed(300), tmp_path).read_bytes()
    random = np.random.default_rng(0)
    heads = [at for at in range(len(whole)) if whole[at : at + 2] == b"PK"]
    places = {at + offset for at in heads for offset in range(12)} | set(random.integers(0, len(whole), 150).tolist())
    for place in places:
        spoiled = bytearray(whole)
        spoiled[min(place, len(whole) - 1)] ^= 1 << int(random.integers(8))
        if place in {at + 6 for at in heads} | {at + 8 for at in heads}:
            spoiled[place] = whole[place] | 1
        (tmp_path / "drift-key.npz").write_bytes(spoiled)
        after = monitor()
        Store(tmp_path, "key", after).restore()
        states(after)


def test_what_this_reference_cannot_have_led_to_is_set_aside(tmp_path: Path) -> None:
    file = save(fed(300), tmp_path)
    with np.load(file) as loaded:
        good = dict(loaded)
    spoiled = {
        "score_evidence/wealth": np.full((16, 6), np.nan),
        "score_evidence/counts": np.zeros(16),
        "score_ks/scores": np.array([1.0, np.inf]),
        "score_evidence/rows": np.array("many"),
    }
    for name, array in spoiled.items():
        np.savez(file, **{**good, name: array})
        after = monitor()
        Store(tmp_path, "key", after).restore()
        assert {state.rows for state in states(after).values()} == {0}, name


@pytest.mark.anyio
async def test_a_disk_that_cannot_be_written_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    store = Store(tmp_path / "file", "key", fed(10))
    with caplog.at_level(logging.WARNING):
        await store.save()
        await store.save()
    assert caplog.text.count("could not be saved") == 1
