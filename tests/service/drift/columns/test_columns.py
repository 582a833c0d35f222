"""Which column changed, and how: names, sentences, wrong names, acknowledgement and saved state."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from harmgauge.drift.columns.columns import Columns
from harmgauge.drift.columns.view import ColumnState
from harmgauge.drift.state import Blocks
from tests.support.column_streams import blocks, columns_of, rows_to_a_name


def state_of(columns: Columns, name: str) -> ColumnState:
    return next(state for state in columns.view().states() if state.column == name)


def test_the_shifted_column_of_a_hundred_is_named_first_within_300_rows() -> None:
    """Four streams; `python -m tests.bench.drift columns` has more."""
    delays = []
    for seed in range(4):
        random = np.random.default_rng(seed)
        columns = columns_of(random.normal(size=(5000, 100)), seed=seed)
        rows = random.normal(size=(1200, 100))
        rows[:, 7] += 0.5
        delay, name = rows_to_a_name(columns, rows)
        assert name == "7"
        assert delay is not None
        delays.append(delay)
    assert np.median(delays) <= 300
    assert max(delays) <= 600


def test_no_column_is_named_without_a_change() -> None:
    """The threshold is low, so that a wrong count of rows or columns would show: 0.2 names are expected at most."""
    random = np.random.default_rng(0)
    columns = columns_of(random.normal(size=(500, 40)), between=10_000, tolerance=0.0)
    for _ in range(2):
        columns.observe(blocks(columns, random.normal(size=(1000, 40)), each=4))
    assert not columns.view().drifting
    assert columns.view().threshold == 41 * 10_000  # the predicted class is one of them


def mixed(random: np.random.Generator, rows: int) -> tuple[Any, Any]:
    """Rows with an age, a flag, and a column that is missing in 5 %; and predicted classes."""
    age = np.rint(random.normal(38, 12, rows))
    flag = (random.random(rows) < 0.3).astype(float)
    rate = np.where(random.random(rows) < 0.05, np.nan, random.normal(size=rows))
    return np.column_stack([age, flag, rate]), random.choice(3, rows, p=[0.6, 0.3, 0.1])


NAMES = ("age", "member", "rate")


def monitored(random: np.random.Generator) -> Columns:
    return columns_of(*mixed(random, 2000), missing=True, classes=3, names=NAMES)


@pytest.mark.parametrize(
    ("change", "name", "direction", "sentence"),
    [
        ("lower", "age", "lower", r"`age` lower \(middle 38 -> 2\d"),
        ("flag", "member", "", r"`member`: (1 more|0 less) often \([2367]\d\S* % -> [12789]\S* %\)"),
        ("new", "member", "more", r"`member`: new or rare values more often \(0 % -> 25\S* %\)"),
        ("missing", "rate", "more", r"`rate` missing more often \([3-6]\S* % -> [2-4]\S* %\)"),
        ("class", "predicted class", "more", r"`predicted class`: `class2` more often \((9|1\d)\S* % -> [34]\S* %\)"),
    ],
)
def test_a_change_is_named_and_described(change: str, name: str, direction: str, sentence: str) -> None:
    random = np.random.default_rng(3)
    columns = monitored(random)
    rows, predictions = mixed(random, 1200)
    match change:
        case "lower":
            rows[:, 0] -= 16
        case "flag":
            rows[:, 1] = random.random(len(rows)) < 0.8
        case "new":
            rows[::4, 1] = 7
        case "missing":
            rows[random.random(len(rows)) < 0.3, 2] = np.nan
        case _:
            predictions[::3] = 2
    columns.observe(blocks(columns, rows, predictions))
    drifting = [state for state in columns.view().states() if state.state == "drifting"]
    assert [state.column for state in drifting] == [name]
    assert direction in ("", drifting[0].direction)  # "": of a flag, both are true
    assert drifting[0].sentence is not None
    assert re.fullmatch(rf"since \d\d \w+ \d\d:\d\d UTC: {sentence}.*", drifting[0].sentence), drifting[0].sentence


def test_unchanged_columns_have_figures_but_no_sentence() -> None:
    random = np.random.default_rng(4)
    columns = monitored(random)
    columns.observe(blocks(columns, *mixed(random, 1000)))
    states = columns.view().states()
    assert {state.state for state in states} == {"ok"}
    assert {state.column for state in states} == {*NAMES, "predicted class"}
    assert {state.sentence for state in states} == {None}
    age, rate, member = (state_of(columns, name) for name in ("age", "rate", "member"))
    assert (age.kind, member.kind) == ("number", "category")
    assert age.reference_middle == pytest.approx(38, abs=1)
    assert age.middle == pytest.approx(38, abs=3)
    assert rate.reference_missing == pytest.approx(0.05, abs=0.02)
    assert rate.missing == pytest.approx(0.05, abs=0.05)
    assert (member.middle, member.reference_middle) == (None, None)


def test_counts_missing_values_and_those_out_of_range() -> None:
    random = np.random.default_rng(5)
    columns = monitored(random)
    rows, predictions = mixed(random, 100)
    rows[:10, 0], rows[:, 2] = 900, 0.0
    rows[:4, 2] = np.nan
    columns.observe(blocks(columns, rows, predictions))
    columns.reset()
    view = columns.view()
    assert view.missing.tolist() == [0, 0, 4]
    assert view.out_of_range.tolist() == [10, 0]


def test_of_a_large_request_256_rows_are_read() -> None:
    random = np.random.default_rng(5)
    columns = monitored(random)
    rows, predictions = mixed(random, 4000)
    rows[:, 0] -= 30
    large, client = blocks(columns, rows, predictions, each=4000), (("", "camera"),)
    small = blocks(columns, rows[:2], predictions[:2])
    both = Blocks(
        np.concatenate([large.scores, small.scores, large.scores]),
        np.concatenate([large.rows, small.rows, large.rows]),
        client + small.clients + client,
        values=np.concatenate([each.values for each in (large, small, large) if each.values is not None]),
    )
    columns.observe(both)  # the client's second request does not count
    assert columns.view().rows[0] == 256 + 2
    assert columns.view().recent[-1, 0] == rows[1, 0]


def test_a_client_counts_once() -> None:
    random = np.random.default_rng(6)
    columns = monitored(random)
    rows, predictions = mixed(random, 600)
    rows[:, 0] -= 30
    own = blocks(columns, rows, predictions)
    same = Blocks(own.scores, own.rows, (("", "camera"),) * 600, predictions=own.predictions, values=own.values)
    columns.observe(same)
    assert not columns.view().drifting
    assert columns.view().rows[0] == 1


def test_a_name_stays_until_it_is_acknowledged() -> None:
    random = np.random.default_rng(7)
    columns = monitored(random)
    rows, predictions = mixed(random, 400)
    rows[:, 0] -= 20
    columns.observe(blocks(columns, rows, predictions))
    named = state_of(columns, "age")
    columns.observe(blocks(columns, *mixed(random, 3000)))
    later = state_of(columns, "age")
    assert (later.state, later.since, later.direction) == ("drifting", named.since, "lower")
    columns.reset()
    assert state_of(columns, "age").state == "ok"
    assert not columns.view().evidence.any()


def test_a_saved_state_resumes_exactly() -> None:
    random = np.random.default_rng(8)
    columns, other = monitored(np.random.default_rng(1)), monitored(np.random.default_rng(1))
    rows, predictions = mixed(random, 500)
    rows[:, 0] -= 20
    columns.observe(blocks(columns, rows, predictions))
    other.restore(columns.dump())
    assert other.view().states() == columns.view().states()
    for each in (columns, other):
        each.observe(blocks(each, rows[:3] + 0.25, predictions[:3]))
    found, expected = other.dump(), columns.dump()
    for key, array in expected.items():
        if key not in ("wealth", "sums", "highest"):  # ties are broken anew
            np.testing.assert_allclose(found[key], array, err_msg=key)
    assert other.view().drifting == 1


@pytest.mark.parametrize(
    ("key", "spoil"),
    [
        ("wealth", lambda array: array * np.nan),
        ("wealth", lambda array: array[:1]),
        ("sums", lambda array: array - 1e4),
        ("urn_rows", lambda array: array + 1e6),
        ("urn_rows", lambda array: array * 0),
        ("cause", lambda array: array + 99),
        ("since", lambda array: array - 1e12),
        ("recent", lambda array: array[:, 1:]),
        ("recent", lambda array: np.full((1, array.shape[1]), np.inf)),
        ("is_named", lambda array: array.astype(int)),
        ("rows", lambda array: array - 10**9),
        ("highest", None),
    ],
)
def test_a_tampered_state_changes_nothing(key: str, spoil: Any) -> None:
    random = np.random.default_rng(9)
    columns = monitored(random)
    columns.observe(blocks(columns, *mixed(random, 300)))
    before = columns.view().states()
    dumped = monitored(random).dump() | columns.dump()
    if spoil is None:
        del dumped[key]
    else:
        dumped[key] = spoil(dumped[key])
    with pytest.raises(ValueError, match=key.split("_", maxsplit=1)[0]):
        columns.restore(dumped)
    assert columns.view().states() == before
