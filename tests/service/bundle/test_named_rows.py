"""Rows with inputs by name: slices, joins, padding, and the inverse conversions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harmgauge.bundle.inputs import Column, Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows, held_bytes, join, join_parts
from tests.support.toy_named import padded, string_inputs, table_inputs, table_rows, token_inputs, token_rows

SIGNALS = NamedInputs(
    inputs=(
        Input(name="wave", dtype="float32", shape=(2, None), maximum=9, pad_value=0),
        Input(name="mask", dtype="uint8", shape=(None,), maximum=9, pad_value=0),
        Input(name="age", dtype="float64", shape=()),
    )
)


@st.composite
def signals(draw: st.DrawFn) -> list[tuple[np.ndarray, float]]:
    """Waves (2, length) without zeros, and an age."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    return [
        (np.arange(1, 2 * length + 1, dtype=np.float32).reshape(2, length) + at, at)
        for at, length in enumerate(lengths)
    ]


def rows_of(waves: list[tuple[np.ndarray, float]], longest: int = 9) -> NamedRows:
    wave = np.zeros((len(waves), 2, longest), np.float32)
    mask = np.zeros((len(waves), longest), np.uint8)
    for row, (values, _) in enumerate(waves):
        wave[row, :, : values.shape[1]] = values
        mask[row, : values.shape[1]] = 1
    return SIGNALS.rows({"wave": wave, "mask": mask, "age": np.array([age for _, age in waves], np.float64)})


def check_is(rows: NamedRows, waves: list[tuple[np.ndarray, float]]) -> None:
    """Each row, run alone, is exactly its wave, without padding."""
    assert len(rows) == len(waves)
    for at, (values, age) in enumerate(waves):
        feeds = SIGNALS.feeds(rows[at : at + 1])
        np.testing.assert_array_equal(feeds["wave"], values[None])
        np.testing.assert_array_equal(feeds["mask"], np.ones((1, values.shape[1]), np.uint8))
        assert feeds["age"].tolist() == [age]


@settings(deadline=None)
@given(signals(), st.data())
def test_rows_keep_their_values_without_padding(waves: list[tuple[np.ndarray, float]], data: st.DataObject) -> None:
    rows = rows_of(waves)
    check_is(rows, waves)
    start = data.draw(st.integers(0, len(waves) - 1))
    stop = data.draw(st.integers(start + 1, len(waves)))
    check_is(rows[start:stop], waves[start:stop])
    picked = data.draw(st.lists(st.integers(0, len(waves) - 1), min_size=1))
    check_is(rows[np.array(picked)], [waves[at] for at in picked])
    both = join([rows, rows[start:stop]])
    assert isinstance(both, NamedRows)
    check_is(both, waves + waves[start:stop])
    check_is(join_parts([rows_of(waves), rows[start:stop][np.arange(stop - start)]]), waves + waves[start:stop])
    check_is(SIGNALS.rows(SIGNALS.arrays(rows)), waves)
    SIGNALS.check(rows)


def test_a_batch_is_padded_to_its_own_longest_row() -> None:
    waves = [(np.ones((2, 3), np.float32), 1.0), (np.ones((2, 1), np.float32), 2.0)]
    feeds = SIGNALS.feeds(rows_of(waves))
    assert feeds["wave"].shape == (2, 2, 3)
    assert feeds["mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_only_trailing_positions_at_which_all_inputs_are_padding_are_cut_off() -> None:
    inputs = token_inputs()
    rows = inputs.rows({"input_ids": np.array([[5, 0, 7, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]),
                        "attention_mask": np.array([[1, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])})  # fmt: skip
    assert rows.lengths.tolist() == [4, 2, 1]
    assert rows.free["input_ids"].tolist() == [5, 0, 7, 0, 0, 0, 0]


def test_without_a_pad_value_rows_keep_their_length_and_run_only_with_equals() -> None:
    inputs = token_inputs(pad_value=None)
    arrays = padded(token_rows(3, 1), 32)
    rows = inputs.rows(arrays)
    assert rows.lengths.tolist() == [32] * 3
    shorter = inputs.rows(padded(token_rows(1, 1, 4), 5))
    with pytest.raises(ValueError, match="rows of different lengths cannot run together"):
        inputs.feeds(NamedRows.join([rows, shorter]))


def test_one_long_row_does_not_take_the_memory_of_a_thousand() -> None:
    wave = [(np.ones((2, 1), np.float32), 0.0)] * 1000 + [(np.ones((2, 9), np.float32), 0.0)]
    rows = rows_of(wave)
    assert rows.nbytes < 1001 * (2 * 4 + 1 + 8) + 9 * 9
    assert held_bytes(rows) >= rows.nbytes


def test_strings_count_as_the_memory_of_their_characters() -> None:
    rows = string_inputs().rows({"message": np.array([["x" * 1000], ["y"]])})
    assert 1000 < held_bytes(rows) < 1300


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"wave": np.zeros((1, 2, 3), np.float32)}, "expected the arrays wave, mask, age; got wave"),
        ({"wave": np.zeros((1, 3, 3), np.float32)}, r"'wave' has shape \(1, 3, 3\); expected \(n, 2, length\)"),
        ({"wave": np.zeros((1, 2, 3))}, "'wave' has dtype float64; expected float32"),
        ({"mask": np.zeros((1, 2), np.uint8)}, "differ in their number of rows, or in the length"),
        ({"age": np.zeros(2)}, "differ in their number of rows"),
    ],
)
def test_arrays_that_are_no_rows_are_refused(arrays: dict[str, np.ndarray], message: str) -> None:
    good: dict[str, np.ndarray] = {
        "wave": np.ones((1, 2, 3), np.float32),
        "mask": np.ones((1, 3), np.uint8),
        "age": np.zeros(1),
    }
    given: dict[str, np.ndarray] = arrays if message.startswith("expected the arrays") else {**good, **arrays}
    with pytest.raises(ValueError, match=message):
        SIGNALS.rows(given)


def test_values_that_a_client_could_not_send_are_found() -> None:
    inputs = table_inputs(unknown="refuse")
    for name, value, message in (
        ("age", np.inf, "'age': expected finite values, got infinity"),
        ("fnlwgt", np.nan, "'fnlwgt': expected finite values, got NaN"),
        ("race", "never seen", "'race': a string is outside the categories"),
        ("race", "x" * (2**17 + 1), "'race': expected at most 131072 characters"),
    ):
        arrays = table_rows(2)
        changed = arrays[name].astype(object)
        changed[1, 0] = value
        arrays[name] = changed.astype(np.float32) if name in {"age", "fnlwgt"} else changed
        with pytest.raises(ValueError, match=message):
            inputs.check(inputs.rows(arrays))
    tokens = token_inputs()
    with pytest.raises(ValueError, match="'input_ids': expected values in 0 .. 49, got 50"):
        tokens.check(tokens.rows({"input_ids": np.array([[50]]), "attention_mask": np.array([[1]])}))
    with pytest.raises(ValueError, match="has length 33; expected 1 to 32"):
        tokens.check(tokens.rows({name: np.ones((1, 33), np.int64) for name in tokens.names}))


@pytest.mark.parametrize(
    ("inputs", "tokenizer", "message"),
    [
        ([{"name": "a", "dtype": "string", "shape": [1]}, {"name": "x", "dtype": "float32", "shape": [1],
          "columns": [{"name": "a", "kind": "number"}]}], None, "two columns or inputs are called 'a'"),
        ([{"name": name, "dtype": "int64", "shape": [None], "maximum": size} for name, size in (("a", 3), ("b", 4))],
         None, "must have the same maximum"),
        ([{"name": "a", "dtype": "string", "shape": [None], "maximum": 3, "categories": ["x"]}], None,
         "categories are for inputs without a free axis"),
        ([{"name": "a", "dtype": "float64", "shape": [2**28]}], None, "more than 1073741824 bytes"),
        ([{"name": "a", "dtype": "int64", "shape": [None], "maximum": 3, "pad_value": 0}], "tokenizer.json",
         "a tokenizer fills input_ids, attention_mask, token_type_ids"),
        ([{"name": "input_ids", "dtype": "int64", "shape": [None], "maximum": 3}], "tokenizer.json", "and a pad_value"),
    ],
)  # fmt: skip
def test_inputs_that_contradict_each_other_are_refused(inputs: list[object], tokenizer: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NamedInputs.model_validate({"inputs": inputs, "tokenizer": tokenizer})


def test_a_blank_row_can_be_sent_by_a_client() -> None:
    for inputs in (table_inputs(unknown="refuse"), token_inputs(), string_inputs(), SIGNALS):
        rows = inputs.blank(3)
        assert len(rows) == 3
        inputs.check(rows)
    columns = (Column(name="a", kind="number"), Column(name="b", kind="number"))
    wide = NamedInputs(inputs=(Input(name="x", dtype="int16", shape=(2,), range=(3, 9), columns=columns),))
    assert wide.feeds(wide.blank(1))["x"].tolist() == [[3, 3]]
