"""JSON records, lists and texts: the rows that they become, and the errors that name input, column and row."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmgauge.api.body.named import records
from harmgauge.api.body.named.plan import plan_of
from harmgauge.api.body.named.records import read_records
from harmgauge.api.body.steps import finish
from harmgauge.bundle.inputs import Column, Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.errors import InvalidParameters, RequestError, TooLarge, UnknownCategory, Unprocessable, Unreadable
from tests.support.toy_named import string_inputs, table_inputs, table_rows, token_inputs, token_rows

TABLE, TOKENS, STRINGS = table_inputs(), token_inputs(), string_inputs()
COLUMNS = NamedInputs(
    inputs=(
        Input(
            name="x",
            dtype="float32",
            shape=(2,),
            columns=(Column(name="a", kind="number"), Column(name="b", kind="number")),
        ),
        Input(name="n", dtype="int32", shape=(), range=(0, 9)),
    )
)
GRID = NamedInputs(inputs=(Input(name="grid", dtype="uint8", shape=(2, None), maximum=3, pad_value=0),))


def read(document: object, inputs: NamedInputs, max_rows: int = 4096) -> NamedRows:
    return finish(read_records(json.dumps(document).encode(), plan_of(inputs), None, max_rows))[0]


def record(**changes: Any) -> dict[str, Any]:
    arrays = table_rows(1)
    return {name: array[0, 0].item() for name, array in arrays.items()} | changes


def test_records_become_columns_in_the_inputs_dtypes() -> None:
    rows = read({"instances": [record(age=39, sex=None), record(age=None), record(race=["Private"])]}, TABLE)
    assert rows.fixed["age"].dtype == np.float32
    np.testing.assert_array_equal(rows.fixed["age"][:2], np.array([[39], [np.nan]], np.float32))
    assert rows.fixed["sex"][0, 0] == ""
    assert rows.fixed["race"][2].tolist() == ["Private"]


def test_a_value_that_may_be_missing_may_be_left_out() -> None:
    short = record()
    del short["age"], short["sex"]
    rows = read({"instances": [short]}, TABLE)
    assert np.isnan(rows.fixed["age"][0, 0])


def test_columns_of_one_input_are_put_together_in_order() -> None:
    rows = read({"instances": [{"b": 2, "n": 1, "a": 1.5}, {"a": 3, "b": 4, "n": 9}]}, COLUMNS)
    assert rows.fixed["x"].tolist() == [[1.5, 2], [3, 4]]
    assert rows.fixed["n"].tolist() == [1, 9]


def test_lists_and_strings_alone_are_instances_of_a_single_input() -> None:
    rows = read({"instances": [[[1, 2], [3, 4]], [[5], [6]]]}, GRID)
    assert rows.lengths.tolist() == [2, 1]
    assert rows.free["grid"].tolist() == [[1, 3], [2, 4], [5, 6]]
    assert read({"instances": ["Private", 'a"},{']}, STRINGS).fixed["message"].tolist() == [["Private"], ['a"},{']]


_LONG = "x" * 131_073


@pytest.mark.parametrize(
    ("inputs", "instances", "message"),
    [
        (TABLE, [record(), record(fnlwgt="1")], "instances[1].fnlwgt: expected a number, got the string '1'."),
        (TABLE, [record(fnlwgt=True)], "instances[0].fnlwgt: expected a number, got true."),
        (TABLE, [record(fnlwgt=None)],
         "instances[0].fnlwgt: expected a number, got null; this input accepts no missing"),
        (TABLE, [record(age="old")],
         "instances[0].age: expected a number, or null for a missing value, got the string"),
        (TABLE, [record(fnlwgt=1e39)], "instances[0].fnlwgt: expected a finite float32, got 1e+39."),
        (TABLE, [record(fnlwgt=[1, 2])], "instances[0].fnlwgt: expected a number, got a list."),
        (TABLE, [record(race=None)], "instances[0].race: expected a string, got null; this input accepts no missing"),
        (TABLE, [record(), record(race=7)], "instances[1].race: expected a string, got 7."),
        (TABLE, [record(race=_LONG)], "instances[0].race: the string has 131073 characters; expected at most 131072."),
        (TABLE, [record(), {}],
         "instances[1] lacks 'fnlwgt'; expected 'age', 'fnlwgt', 'education_num', 'capital_gain', "),
        (TABLE, [record(Age=3)], "instances[0] has the unknown key 'Age'; known: 'age', "),
        (TABLE, [record(), 7], "instances[1]: expected an object like {'age': ...}, got 7."),
        (TABLE, [[1, 2]], "instances[0]: expected an object like {'age': ...}, got a list."),
        (TABLE, [], "instances: expected at least one instance, got an empty list."),
        (COLUMNS, [{"a": 1, "b": "z", "n": 1}], "instances[0].b: expected a number, got the string 'z'."),
        (COLUMNS, [{"a": 1, "b": 2, "n": 10}], "instances[0].n: expected a number from 0 to 9, got 10."),
        (COLUMNS, [{"a": 1, "b": 2, "n": 0.5}], "instances[0].n: expected a whole number, got 0.5."),
        (TOKENS, [{"input_ids": [1, 50], "attention_mask": [1, 1]}],
         "instances[0].input_ids: expected a number from 0 to 49"),
        (TOKENS, [{"input_ids": [1], "attention_mask": [1, 1]}],
         "instances[0].attention_mask has length 2, but 'input_ids'"),
        (TOKENS, [{"input_ids": [], "attention_mask": []}], "instances[0].input_ids: expected at least one element."),
        (TOKENS, [{"input_ids": 1, "attention_mask": [1]}], "instances[0].input_ids: expected a list, got 1."),
        (TOKENS, [{"input_ids": [[1]], "attention_mask": [1]}],
         "instances[0].input_ids: expected a number, got a list."),
        (TOKENS, [{"input_ids": [1] * 33, "attention_mask": [1] * 33}],
         "has length 33; expected at most 32: shorten it"),
        (TOKENS, [{"input_ids": [1], "attention_mask": [2]}],
         "instances[0].attention_mask: expected a number from 0 to 1"),
        (GRID, [[[1, 2], [3, 4]], [[1], [2, 3]]], "instances[1].grid: expected lists of one length."),
        (GRID, [[[1, 2]]], "instances[0].grid: expected 2 elements, got 1."),
        (GRID, [[[1], [256]]], "instances[0].grid: expected a number from 0 to 255, got 256."),
        (STRINGS, ["a", 3], "instances[1]: expected a string, got 3."),
        (STRINGS, [{"message": "a"}, "b"],
         "instances[1]: expected an object like {'message': ...}, got the string 'b'."),
    ],
)  # fmt: skip
def test_an_error_names_row_and_value(inputs: NamedInputs, instances: list[Any], message: str) -> None:
    with pytest.raises(Unprocessable) as refusal:
        read({"instances": instances}, inputs)
    assert message in refusal.value.detail


def test_an_error_quotes_at_most_40_characters_of_a_value() -> None:
    for changes in ({"fnlwgt": "s" * 500}, {"x" * 500: 1}):
        with pytest.raises(Unprocessable) as refusal:
            read({"instances": [record(**changes)]}, TABLE)
        assert "s" * 41 not in refusal.value.detail
        assert "x" * 41 not in refusal.value.detail


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"{", Unreadable, "cannot be read as JSON"),
        (b"[1]", Unprocessable, 'must be an object like {"instances"'),
        (b'{"instances": {}}', Unprocessable, "instances: expected a list of instances, got an object."),
        (b'{"instances": [1], "more": 1}', Unprocessable, "Unknown field 'more'"),
        (b'{"instances": [1], "parameters": 1}', InvalidParameters, "'parameters': expected an object, got 1."),
    ],
)
def test_the_body_around_the_instances_is_checked(body: bytes, error: type[RequestError], message: str) -> None:
    with pytest.raises(error) as refusal:
        finish(read_records(body, plan_of(TABLE), None, 10))
    assert message in refusal.value.detail


def test_unknown_categories_pass_are_flagged_or_refused() -> None:
    instances = [record(), record(race="Martian"), record(race="Martian", sex="")]
    rows = read({"instances": instances}, table_inputs(unknown=None))
    assert rows.flagged is None
    assert rows.unseen == {"race": 2}
    rows = read({"instances": instances}, table_inputs(unknown="flag"))
    assert rows.flagged is not None
    assert rows.flagged.tolist() == [False, True, True]
    with pytest.raises(
        UnknownCategory, match=r"instances\[1\].race: 'Martian' is not one of its 4 categories"
    ) as refusal:
        read({"instances": instances}, table_inputs(unknown="refuse"))
    assert refusal.value.column == "race"


texts = st.text(st.sampled_from('ab"\\},{][ :\n\u00e9\U0001f600'), max_size=30)


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=30), st.sampled_from([None, 1]), st.integers(16, 200), st.booleans())
def test_pieces_give_the_same_rows_as_the_whole(
    messages: list[str], indent: int | None, piece_bytes: int, is_bare: bool
) -> None:
    """Whatever brackets and quotes the strings contain."""
    items: list[Any] = messages if is_bare else [{"message": text} for text in messages]
    body = json.dumps(
        {"instances": items, "parameters": {"correct": False}}, indent=indent, ensure_ascii=False
    ).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "PIECE_BYTES", piece_bytes)
        rows, parameters = finish(read_records(body, plan_of(STRINGS), None, 100))
    assert rows.fixed["message"][:, 0].tolist() == messages
    assert parameters == {"correct": False}


def test_a_list_that_is_not_the_bodys_own_is_not_taken_for_it() -> None:
    inner = json.dumps({"instances": [{"message": "x"}] * 5000})
    body = json.dumps({"parameters": {"correct": inner}, "instances": [{"message": "y"}]}).encode()
    rows, parameters = finish(read_records(body, plan_of(STRINGS), None, 10_000))
    assert rows.fixed["message"].tolist() == [["y"]]
    assert parameters == {"correct": inner}
    twice = b'{"instances": [%b], "instances": [{"message": "z"}]}' % b",".join([b'{"message": "x"}'] * 5000)
    with pytest.raises(Unprocessable, match="has 'instances' twice"):
        finish(read_records(twice, plan_of(STRINGS), None, 10_000))


def test_too_many_rows_are_refused_before_all_are_read() -> None:
    body = json.dumps({"instances": ["x"] * 100_000}).encode()
    steps: list[None] = []
    with pytest.raises(TooLarge, match="more than 10000 instances"):
        steps.extend(read_records(body, plan_of(STRINGS), None, 10_000))
    assert len(steps) < 15


def test_an_endless_instance_is_refused_in_bounded_time_and_memory() -> None:
    body = b'{"instances": [{"message": "' + b"}," * 4_000_000
    tracemalloc.start()
    with pytest.raises(Unprocessable, match="is longer than 1048576 bytes, or the JSON is not valid"):
        finish(read_records(body, plan_of(STRINGS), None, 10_000))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 * len(body)


def test_many_tokens_are_kept_without_padding() -> None:
    instances = token_rows(3000, 3)
    body = json.dumps({"instances": instances}).encode()
    rows, _ = finish(read_records(body, plan_of(TOKENS), None, 4096))
    flat = [token for one in instances for token in one["input_ids"]]
    assert rows.free["input_ids"].tolist() == flat
    assert rows.nbytes == 2 * 8 * len(flat)
