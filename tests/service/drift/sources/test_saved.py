"""Saved states of sources: they continue, and what was never saved is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harmgauge.drift.monitor import Monitor
from harmgauge.drift.sources.sources import Sources
from tests.support.source_streams import Traffic, monitored, names, states


def saved(of: Sources) -> dict[str, Any]:
    return {name: np.array(array) for name, array in of.dump().items()}


def after_some_traffic(**settings: Any) -> tuple[Sources, Traffic]:
    found = monitored(with_harm=True, **settings)
    traffic = Traffic(names(6, "site"), with_p=True)
    traffic.harmful[1] = 0.4
    found.observe(traffic.requests(300))
    found.observe(Traffic(names(3), with_p=True).requests(600))
    return found, traffic


def test_they_continue_where_they_were_saved() -> None:
    straight, traffic = after_some_traffic()
    after = monitored(with_harm=True)
    after.restore(saved(straight))
    assert sorted(states(after).items()) == sorted(states(straight).items())
    more = traffic.requests(40)
    for one in (straight, after):
        one.observe(more)
    for name, state in states(straight).items():
        assert states(after)[name].change == pytest.approx(state.change, rel=1e-5)
        assert states(after)[name].harm == pytest.approx(state.harm, rel=1e-5)
    assert straight.dump()["wealth"] is straight.dump()["wealth"], "no new copy while nothing changes"


def test_no_sources_are_saved_and_restored_too() -> None:
    after = monitored(with_harm=True)
    after.restore(saved(monitored(with_harm=True)))
    assert not len(after.view())


def test_a_smaller_table_keeps_the_named_and_the_newest() -> None:
    before, _ = after_some_traffic()
    after = monitored(with_harm=True, most=4)
    after.restore(saved(before))
    assert set(states(after)) == {"site: camera-1", "camera-0", "camera-1", "camera-2"}


def test_evidence_against_something_else_is_none() -> None:
    before, _ = after_some_traffic()
    other = monitored(with_harm=True, tolerance=0.05)
    other.restore(saved(before))
    assert not other.view().change.any()
    assert other.view().harm is not None
    assert np.any(other.view().harm)
    assert other.view().is_settled.any()
    without = monitored()
    without.restore(saved(before))
    assert without.view().change.any()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("wealth", -1), ("wealth", np.nan), ("wealth", 1e33), ("harm_wealth", -1), ("hits", 1e6), ("hits", -1),
        ("rows", 0), ("rows", -5), ("since", -1), ("since", 1e18), ("errors", 2), ("highest", -1), ("weight", 3),
        ("tolerance", 7), ("bound", np.nan), ("names", 10), ("is_settled", False),
    ],
)  # fmt: skip
def test_states_that_were_never_saved_are_refused(key: str, value: float) -> None:
    before, _ = after_some_traffic()
    before.observe(Traffic(names(3), seed=1, with_p=True).requests(300))
    state = saved(before)
    state[key] = np.full_like(state[key], value)
    after = monitored(with_harm=True)
    with pytest.raises(ValueError, match=f"{key}|is_settled|rows contains|hits contains"):
        after.restore(state)
    assert not len(after.view())


def test_arrays_of_another_shape_are_refused() -> None:
    before, _ = after_some_traffic()
    for key in before.dump():
        for wrong in (saved(before)[key][..., None], saved(before)[key].astype(complex)):
            with pytest.raises(ValueError, match=key):
                monitored(with_harm=True).restore(saved(before) | {key: wrong})


def test_the_monitor_resets_and_saves_them() -> None:
    found, traffic = after_some_traffic()
    monitor = Monitor([], [], None, found)
    view = monitor.sources()
    assert view is not None
    assert view.drifting == 1
    versions, arrays = monitor.dump()
    assert {"sources/names", "sources/wealth"} <= set(arrays)
    other = Monitor([], [], None, monitored(with_harm=True))
    other.restore({name: np.asarray(array) for name, array in arrays.items()})
    again = other.sources()
    assert again is not None
    assert again.drifting == 1
    assert monitor.acknowledge("site: camera-1")
    assert not monitor.acknowledge("site: camera-77")
    assert not Monitor([]).acknowledge("site: camera-1")
    monitor.observe(traffic.requests(300))
    assert monitor.dump()[0] != versions
    monitor.reset()
    empty = monitor.sources()
    assert empty is not None
    assert (len(empty), empty.drifting, float(empty.evidence.max())) == (9, 0, 0)
    assert empty.is_settled.any(), "an acknowledgement keeps the baselines"
