"""Which sources are monitored when there are more than fit."""

from __future__ import annotations

import numpy as np
import pytest

from harmgauge.drift.sources.table import NOWHERE, Table
from harmgauge.inference.caller import Name


def table(most: int = 10) -> Table:
    return Table(most, protected=1000, left=lambda _: None)


def of(key: str, *numbers: int) -> tuple[Name, ...]:
    return tuple((key, f"camera-{number}") for number in numbers)


def test_a_source_keeps_its_slot() -> None:
    found = table()
    first = found.slots((*of("", 1, 2), None, *of("", 1)), 100.0)
    assert first.tolist() == [0, 1, NOWHERE, 0]
    assert found.slots(of("", 2, 3), 101.0).tolist() == [1, 2]
    assert (found.columns.since[:3] == [100, 100, 101]).all()
    assert found.columns.seen[0] == 100
    assert found.columns.seen[1] == found.columns.seen[2] == 101
    assert found.turned_away == 0


def test_the_same_name_under_another_key_is_another_source() -> None:
    assert table().slots((*of("a", 1), *of("b", 1)), 0.0).tolist() == [0, 1]


def test_invented_names_push_out_nobody_of_another_key() -> None:
    left = list[int]()
    found = Table(100, 1000, left.append)
    real = of("shop", *range(40))
    found.slots(real, 0.0)
    for second in range(200):
        found.slots(of("attacker", *range(100 * second, 100 * second + 100)), 1.0 + second)
    assert all(found.find(name) is not None for name in real)
    assert len(found) == 100
    assert len(left) == 60 * 199
    # The other way round: whoever was there first holds no more than a share.
    more = of("shop", *range(40, 50))
    found.slots(more, 300.0)
    assert all(found.find(name) is not None for name in real + more)
    late = of("late", *range(33))
    found.slots(late, 301.0)
    assert all(found.find(name) is not None for name in late), "a third key gets its third"


def test_20000_invented_names_of_one_key() -> None:
    """The default size; the real sources are silent meanwhile."""
    found = table(10_000)
    real = of("shop", *range(1000))
    found.slots(real, 0.0)
    for batch in range(80):
        found.slots(of("attacker", *range(250 * batch, 250 * batch + 250)), 1.0 + batch)
    assert all(found.find(name) is not None for name in real)
    assert len(found) == 10_000


def test_the_one_that_was_silent_for_longest_leaves() -> None:
    found = table(3)
    for second, number in enumerate((1, 2, 3, 1, 4)):
        found.slots(of("", number), float(second))
    assert found.find(("", "camera-2")) is None
    assert found.find(("", "camera-1")) == 0
    assert found.columns.since[found.find(("", "camera-4")) or 0] == pytest.approx(4)


def test_evidence_protects_and_names_stay() -> None:
    found = table(3)
    for second in range(3):
        found.slots(of("", second), float(second))
    found.columns.is_named[0] = True
    found.columns.highest[1] = 2000
    found.columns.rows[2] = 7
    assert found.slots(of("", 3), 10.0).tolist() == [2], "the only one with neither"
    assert found.columns.rows[2] == 0, "nothing of it stays"
    found.columns.highest[2] = 5000
    assert found.slots(of("", 4), 11.0).tolist() == [1], "with evidence all, the one silent for longest"
    found.columns.is_named[:] = True
    assert found.slots(of("", 5), 12.0).tolist() == [NOWHERE]
    assert found.turned_away == 1
    assert [found.find(("", f"camera-{number}")) for number in (0, 3, 4)] == [0, 2, 1]


def test_sources_of_the_same_requests_do_not_replace_each_other(caplog: pytest.LogCaptureFixture) -> None:
    found = table(3)
    assert found.slots(of("", 1, 2, 3, 4, 1, 5), 0.0).tolist() == [0, 1, 2, NOWHERE, 0, NOWHERE]
    assert found.turned_away == 2
    assert [record.message.partition(":")[0] for record in caplog.records] == ["no room to monitor another source"]


def test_a_clock_that_is_set_back_does_not_matter() -> None:
    found = table(2)
    found.slots(of("", 1), 100.0)
    found.slots(of("", 2), 50.0)
    found.slots(of("", 3), 20.0)
    assert [found.find(("", f"camera-{number}")) for number in (1, 2, 3)] == [None, 1, 0]
    assert np.diff(found.columns.seen[[1, 0]])[0] > 0
