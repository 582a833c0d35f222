"""No state on disk, whatever its content, breaks a detector: it is rejected as a whole, or the detector works."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harmgauge.drift.accuracy import Accuracy
from harmgauge.drift.accuracy_window import AccuracyWindow
from harmgauge.drift.dumped import MOST_ROWS
from harmgauge.drift.feature_mmd import FeatureMmd
from harmgauge.drift.harm import Harm
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.score_evidence import ScoreEvidence
from harmgauge.drift.score_ks import ScoreKs
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.drift.store import Store

REFERENCE = np.sort(np.random.default_rng(0).normal(size=200))
FEATURES = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)

Saved = dict[str, npt.NDArray[Any]]


def monitor(age_seconds: float | None = None) -> Monitor:
    return Monitor(
        [
            ScoreKs(REFERENCE, 100, 10_000, max_age_seconds=age_seconds),
            ScoreEvidence(REFERENCE, 10_000, 0.01, seed=0),
            FeatureMmd(FEATURES, 20, 10_000, seed=0),
            Harm(0.07, 0.09, 500, 10_000),
        ],
        accuracy=AccuracyWindow(0.93, 0.05, 100, ("cat", "dog", "frog"), max_age_seconds=age_seconds),
    )


def blocks(rows: int, seed: int, shift: float = 0) -> Blocks:
    random = np.random.default_rng(seed)
    features = random.normal(shift, 1, (rows, 4)).astype(np.float32)
    scores, p = random.normal(shift, 1, rows), random.beta(0.2 + shift, 1.9, rows).astype(np.float32)
    classes = random.integers(0, 3, rows)
    return Blocks(scores, np.ones(rows, np.intp), (None,) * rows, features, error_probability=p, predictions=classes)


class Looked(NamedTuple):
    states: Mapping[str, DriftState]
    accuracy: Accuracy


async def looked(of: Monitor) -> Looked:
    """The states, after a test of features that begins now, and the accuracy."""
    await of.states()
    detector = of.find(FeatureMmd)
    assert detector is not None
    await detector.settled()
    states, accuracy = await of.states(), await of.accuracy()
    assert accuracy is not None
    return Looked(states, accuracy)


def arrays(of: Monitor) -> Saved:
    return {name: np.array(array) for name, array in of.dump()[1].items()}


@cache
def whole() -> Saved:
    """A state with all parts, the alarms included."""
    made = monitor(3600)
    made.observe(blocks(150, 1, shift=2))
    asyncio.run(looked(made))
    made.observe(blocks(10, 2))
    return arrays(made)


@cache
def plain() -> Mapping[str, object]:
    return described(asyncio.run(looked(monitor())))


def described(found: Looked) -> dict[str, object]:
    return {name: (state.state, state.rows, state.total_rows, state.p_value, state.statistic, state.details)
            for name, state in found.states.items()} | {"accuracy": found.accuracy}  # fmt: skip


NAMES = sorted(whole())
NUMBERS = [
    0, 1, -1, 0.5, 1.5, -0.0, 2**31, 2**53, 2**63 - 1, 10**18, -(2**53), 1e-320, 1e300, 1e308, -1e308, 2**32,
    253402300799, np.inf, -np.inf, np.nan,
]  # fmt: skip
WAYS = ["number", "number", "number", "all numbers", "anything", "left out", "shape", "type"]
NUMPY_TYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(),
    hnp.complex_number_dtypes(),
    hnp.byte_string_dtypes(),
    hnp.unicode_string_dtypes(),
    hnp.datetime64_dtypes(),
)
ANYTHING = hnp.arrays(NUMPY_TYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6))


def exchanged(array: npt.NDArray[Any], dtype: npt.DTypeLike, place: int | None, number: float) -> npt.NDArray[Any]:
    """The array with another type, and another number in one place or in all; only the number if the type cannot hold
    it.
    """
    with warnings.catch_warnings(action="ignore"):
        try:
            found = array.astype(dtype)
            if found.size:
                found.flat[slice(None) if place is None else place] = number
        except (OverflowError, ValueError, TypeError):
            return np.array(number)
    return found


@st.composite
def spoilt(draw: st.DrawFn) -> Saved:
    """A state with some arrays replaced, removed, reshaped, or with other numbers in some places."""
    state = dict(whole())
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)):
        how = draw(
            st.sampled_from(["number", "number", "number", "all numbers", "anything", "left out", "shape", "type"])
        )
        array = state.get(name, np.zeros(()))
        if how == "left out":
            state.pop(name, None)
        elif how == "anything":
            state[name] = draw(ANYTHING)
        elif how == "shape":
            state[name] = draw(st.sampled_from([array[..., None], array.ravel(), array.ravel()[:1], array.ravel()[:0]]))
        else:
            number = draw(st.one_of(st.sampled_from(NUMBERS), st.floats(), st.integers(-(2**63), 2**63 - 1)))
            dtype = draw(NUMPY_TYPES) if how == "type" else array.dtype
            place = draw(st.integers(0, max(0, array.size - 1)))
            state[name] = exchanged(array, dtype, None if how == "all numbers" else place, number)
    return state


@given(state=spoilt(), age_seconds=st.sampled_from([None, 60.0]))
@example(state=whole(), age_seconds=None)
@example(state=whole() | {"feature_mmd/last": np.array([0.1, 0.0, 1.7e9, 50])}, age_seconds=None)
@example(state=whole() | {"score_evidence/rows": np.array(10**18)}, age_seconds=None)
@example(state=whole() | {"harm/bound": np.array(0.5)}, age_seconds=None)
@settings(deadline=None)
def test_a_spoilt_state_is_refused_whole_or_works(state: Saved, age_seconds: float | None) -> None:
    after = monitor(age_seconds)
    try:
        after.restore(state)
    except ValueError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 300
        assert described(asyncio.run(looked(after))) == plain()
        return
    monitor().restore(arrays(after))
    found = asyncio.run(looked(after))
    check(found)
    before = {name: found.states[name].rows for name in ("score_evidence", "harm")}
    after.observe(blocks(40, 3))
    found = asyncio.run(looked(after))
    check(found)
    for name, rows in before.items():
        assert found.states[name].rows == rows + 40
    assert found.accuracy.rows >= 40
    if max(before.values()) < MOST_ROWS - 1000:
        monitor(age_seconds).restore(arrays(after))


def check(found: Looked) -> None:
    """The states and the accuracy can be shown as JSON, by Prometheus and on the page."""
    shares = [found.accuracy.estimate, found.accuracy.lower, found.accuracy.upper]
    shares += [own.accuracy for own in found.accuracy.classes]
    assert all(share is None or 0 <= share <= 1 for share in shares)
    assert sum(own.rows for own in found.accuracy.classes) == found.accuracy.rows <= 100
    for name, state in found.states.items():
        assert state.rows >= 0 <= state.total_rows, name
        assert state.p_value is None or 0 <= state.p_value <= 1, name
        numbers = [state.statistic, state.log10_p_value, *state.gauges.values()]
        json.dumps(
            [*numbers, *(value for value in state.details.values() if isinstance(value, float))], allow_nan=False
        )
        assert 1970 <= state.since.year < 2107
        assert isinstance(state.details.get("untested_rows", 0), int)
        assert int(state.details.get("untested_rows", 0)) >= 0  # type: ignore[arg-type]  # checked just before


def test_what_one_detector_refuses_changes_no_other(tmp_path: Path) -> None:
    """The last one in the file rejects its part after the others accepted theirs."""
    np.savez(tmp_path / "drift-key.npz", allow_pickle=False, **whole() | {"feature_mmd/since": np.array(1e18)})
    after = monitor()
    Store(tmp_path, "key", after).restore()
    assert described(asyncio.run(looked(after))) == plain()
    assert len(list(tmp_path.glob("*.broken"))) == 1


WRONG: dict[str, list[object]] = {
    "score_ks/times": [-1.0, 1e12, np.nan],
    "score_evidence/rows": [-5, 10**18, 1.0, np.nan],
    "score_evidence/wealth": [1.7e308, -1.0],
    "score_evidence/fixed_wealth": [1.7e308, -1.0, np.nan],
    "score_evidence/counts": [1e9, 0.5],
    "score_evidence/urn_rows": [1e308, 1.0],
    "score_evidence/highest": [-1.0, 0.0, np.inf, 1e301],
    "score_evidence/drifting": [1, np.nan],
    "score_evidence/since": [253402300799.0, -1.0],
    "harm/wealth": [-1.0, 0.0, 1.7e308, np.nan],
    "harm/rows": [-1, 0, 1.5, 2**62],
    "harm/bound": [-1.0, 0.0, np.nan, np.inf],
    "harm/highest": [-1.0, 0.0, np.inf],
    "harm/drifting": [1, np.nan],
    "harm/since": [np.nan, 1e300],
    "accuracy/chances": [-0.5, 1.5, np.nan, np.inf],
    "accuracy/classes": [3, 255],
    "accuracy/times": [-1.0, np.nan],
    "feature_mmd/features": [np.nan],
    "feature_mmd/total_rows": [-1, 3, 1.5, 2**62],
    "feature_mmd/drifting": [1.0],
    "feature_mmd/since": [np.nan, 1e300],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_numbers_that_no_detector_gave_are_refused(name: str, value: object) -> None:
    good = whole()[name]
    wrong = good.copy() if good.ndim else np.array(value)
    if wrong.ndim:
        wrong.flat[0] = value
    after = monitor()
    with pytest.raises(ValueError, match=rf"^{name.replace('/', ': ')} (is|contains)|have led to"):
        after.restore(whole() | {name: wrong})
    assert described(asyncio.run(looked(after))) == plain()


def test_a_state_of_an_earlier_version_keeps_its_evidence() -> None:
    """It has neither fixed bets nor clients."""
    new = {"score_evidence/fixed_wealth", "score_evidence/clients", "harm/clients"}
    after = monitor(3600)
    after.restore({name: array for name, array in whole().items() if name not in new})
    found = arrays(after)
    assert set(found) == set(whole())
    since_restart = {"feature_mmd/last", "feature_mmd/total_rows"}  # count rows from the restart on
    for name in set(found) - new - since_restart:
        if name.endswith("/times"):  # kept by the wall clock, measured by another
            np.testing.assert_allclose(found[name], whole()[name], rtol=0, atol=1, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], whole()[name], err_msg=name)
    assert not found["score_evidence/fixed_wealth"].any()
    assert found["score_evidence/clients"].shape == (0, 16)
    assert found["harm/clients"].shape == (0, 16)


@pytest.mark.parametrize("shape", [(1001, 16), (3, 15), (16,)])
def test_clients_that_no_detector_remembered_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="^harm: clients is "):
        monitor().restore(whole() | {"harm/clients": np.zeros(shape, np.uint8)})


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [-(10.0**300), 10.0**300, np.nan, 0.5, 1e17])
def test_a_last_test_that_no_detector_made_is_refused(place: int, value: float) -> None:
    last = whole()["feature_mmd/last"].copy()
    last[place] = value
    good = value == 0.5 and place < 3
    after = monitor()
    if good:
        after.restore(whole() | {"feature_mmd/last": last})
        return
    with pytest.raises(ValueError, match="^feature_mmd: (last|the last test)"):
        after.restore(whole() | {"feature_mmd/last": last})
