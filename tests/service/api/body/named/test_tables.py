"""Bodies in `.npz` and Parquet: the same rows as records, within bounds that are checked before anything is decoded."""

from __future__ import annotations

import io
import mmap
import zlib
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harmgauge.api.body.media import JSON, NPZ, PARQUET
from harmgauge.api.body.named.parquet_pages import measure
from harmgauge.api.body.named.reader import NamedReader
from harmgauge.api.body.named.thrift import Malformed, read_struct
from harmgauge.api.body.steps import finish
from harmgauge.bundle.inputs import Column, Input
from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.errors import RequestError, TooLarge, UnknownMediaType, Unprocessable, Unreadable
from tests.support.toy_named import WORDS, padded, string_inputs, table_inputs, table_rows, token_inputs, token_rows

MEGA = 2**20
TABLE, TOKENS, STRINGS = table_inputs(), token_inputs(), string_inputs()


def read(body: bytes, media_type: str, inputs: NamedInputs = TABLE, max_rows: int = 4096) -> NamedRows:
    rows, parameters = finish(finish(NamedReader(inputs).opening(body, media_type, max_rows, MEGA)).steps())
    assert parameters == {}
    assert isinstance(rows, NamedRows)
    return rows


def npz(arrays: dict[str, Any], *, packed: bool = False) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def parquet(table: pa.Table | pd.DataFrame, **options: Any) -> bytes:
    stream = io.BytesIO()
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def frame(rows: int = 5) -> pd.DataFrame:
    return pd.DataFrame({name: array[:, 0] for name, array in table_rows(rows).items()})


def check_table(rows: NamedRows, count: int = 5) -> None:
    for name, array in table_rows(count).items():
        assert rows.fixed[name].tolist() == array.tolist()


def test_npz_has_the_inputs_by_name_with_or_without_their_axis_of_length_one() -> None:
    arrays = table_rows(5)
    check_table(read(npz(arrays), NPZ))
    check_table(read(npz({name: array[:, 0] for name, array in arrays.items()}, packed=True), NPZ))


@pytest.mark.parametrize(
    "options",
    [
        {}, {"compression": "zstd", "use_dictionary": False}, {"data_page_version": "2.0"}, {"row_group_size": 2},
        {"compression": "gzip", "use_byte_stream_split": ["age"], "use_dictionary": False}, {"compression": "none"},
        {"write_page_index": True, "write_page_checksum": True, "store_schema": False},
    ],
    ids=str,
)  # fmt: skip
def test_parquet_gives_the_same_rows_however_it_was_written(options: dict[str, Any]) -> None:
    check_table(read(parquet(frame(), **options), PARQUET))


def test_parquet_takes_nulls_and_categories_and_whole_numbers_of_pandas() -> None:
    table = frame()
    table["age"] = pd.array([1, None, 3, 4, 5], "Int64")
    table["sex"] = pd.Categorical([WORDS[0], None, WORDS[1], WORDS[0], WORDS[2]])
    rows = read(parquet(table), PARQUET)
    np.testing.assert_array_equal(rows.fixed["age"][:, 0], [1, np.nan, 3, 4, 5])
    assert rows.fixed["sex"][:, 0].tolist() == [WORDS[0], "", WORDS[1], WORDS[0], WORDS[2]]


def test_parquet_takes_decimals_and_columns_without_any_value() -> None:
    table = frame()
    table["age"] = [Decimal("1.5")] * 5
    table["sex"] = None
    rows = read(parquet(table), PARQUET)
    assert rows.fixed["age"][:, 0].tolist() == [1.5] * 5
    assert rows.fixed["sex"][:, 0].tolist() == [""] * 5
    table["sex"] = np.nan
    assert read(parquet(table), PARQUET).fixed["sex"][:, 0].tolist() == [""] * 5
    table["age"] = None
    assert np.isnan(read(parquet(table), PARQUET).fixed["age"]).all()


WORD_LISTS = NamedInputs(inputs=(Input(name="words", dtype="string", shape=(None,), maximum=6, missing=True),))
WORD_PAIRS = NamedInputs(inputs=(Input(name="words", dtype="string", shape=(2,)),))


def test_strings_may_be_in_lists() -> None:
    rows = read(parquet(pa.table({"words": [["a", None, "b"], ["c"]]})), PARQUET, WORD_LISTS)
    assert rows.free["words"].tolist() == ["a", "", "b", "c"]
    assert rows.lengths.tolist() == [3, 1]
    pairs = [["a", "b"], ["c", "d"]]
    assert read(parquet(pa.table({"words": pairs})), PARQUET, WORD_PAIRS).fixed["words"].tolist() == pairs


def test_lists_of_unequal_lengths_are_rows_of_a_free_axis() -> None:
    records = token_rows(50, 3)
    rows = read(parquet(pa.Table.from_pylist(records), row_group_size=7), PARQUET, TOKENS)
    assert rows.lengths.tolist() == [len(record["input_ids"]) for record in records]
    assert rows.free["input_ids"].tolist() == [token for record in records for token in record["input_ids"]]
    again = read(npz(padded(records)), NPZ, TOKENS)
    np.testing.assert_array_equal(again.free["attention_mask"], rows.free["attention_mask"])
    np.testing.assert_array_equal(again.offsets, rows.offsets)


COLUMNS = NamedInputs(
    inputs=(
        Input(name="x", dtype="float64", shape=(2,), columns=tuple(Column(name=name, kind="number") for name in "ab")),
    )
)


def test_columns_of_one_input_come_from_a_table() -> None:
    rows = read(parquet(pd.DataFrame({"b": [1, 2], "a": [0.5, 1.5]})), PARQUET, COLUMNS)
    assert rows.fixed["x"].tolist() == [[0.5, 1], [1.5, 2]]
    assert read(npz({"a": np.array([1]), "b": np.array([2.5])}), NPZ, COLUMNS).fixed["x"].tolist() == [[1, 2.5]]
    assert read(npz({"x": np.array([[1, 2]])}), NPZ, COLUMNS).fixed["x"].tolist() == [[1, 2]]
    reader = NamedReader(COLUMNS, as_array=True)
    rows_of, _ = finish(finish(reader.opening(npz({"x": np.array([[1, 2]])}), NPZ, 9, MEGA)).steps())
    assert isinstance(rows_of, np.ndarray)
    assert reader.takes(b'{"instances": [{"a": 1}]}', JSON)
    assert not reader.takes(b'{"instances": [[1, 2]]}', JSON)


def untouched_nulls(rows: int, width: int) -> pa.Array:
    """Nulls of a fixed number of bytes. Arrow's own would fill `rows` * `width` bytes of memory with zeros."""
    values = pa.py_buffer(mmap.mmap(-1, rows * width))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), rows, [pa.py_buffer(bytes(-(-rows // 8))), values])


def with_column(name: str, values: Any) -> pd.DataFrame:
    return frame().assign(**{name: values})


@pytest.mark.parametrize(
    ("body", "media_type", "error", "message"),
    [
        (b"", NPZ, Unreadable, "The body is empty."),
        (b"PK", NPZ, Unreadable, "is not a valid .npz file"),
        (npz({"age": np.array([None])}), NPZ, Unreadable, "pickled objects, which are never loaded"),
        (npz({**table_rows(5), "age": np.array([["x"]] * 5)}), NPZ, Unprocessable,
         "'age' has strings; expected float32"),
        (npz({**table_rows(5), "race": np.ones((5, 1))}), NPZ, Unprocessable, "'race' has numbers; expected strings"),
        (npz({**table_rows(5), "more": np.ones((5, 1))}), NPZ, Unprocessable, "Unknown input 'more'; known: 'age', "),
        (npz({"age": np.ones((5, 1))}), NPZ, Unprocessable, "The input 'fnlwgt' is missing."),
        (npz({**table_rows(5), "age": np.ones((4, 1))}), NPZ, Unprocessable, "'age' has 4, 'fnlwgt' has 5"),
        (npz({**table_rows(5), "age": np.ones((5, 2))}), NPZ, Unprocessable,
         "has shape (5, 2); expected (n, 1), n >= 1"),
        (npz({**table_rows(5), "fnlwgt": np.full((5, 1), np.nan)}), NPZ, Unprocessable,
         "instances[0].fnlwgt: expected a"),
        (npz({**table_rows(5), "age": np.ones((5, 1), bool)}), NPZ, Unprocessable,
         "'age' has dtype bool; send numbers"),
        (npz({name: np.zeros((5000, 1), np.uint8) for name in TABLE.names}), NPZ, TooLarge,
         "has 5000 instances; expected at most 4096"),
        (npz({"age": np.zeros(MEGA)}, packed=True), NPZ, TooLarge, "bytes uncompressed; expected at most 1048576"),
        (b"PAR1PAR1PAR1", PARQUET, Unreadable, "its footer has"),
        (b"x" * 20, PARQUET, Unreadable, "does not begin and end like one"),
        (parquet(with_column("more", 1)), PARQUET, Unprocessable, "Unknown column 'more'; known: 'age'"),
        (parquet(with_column("age", "old")), PARQUET, Unprocessable, "'age' has strings; expected float32"),
        (parquet(with_column("race", 1)), PARQUET, Unprocessable, "'race' has numbers; expected strings"),
        (parquet(with_column("fnlwgt", [1, None, 3, 4, 5])), PARQUET, Unprocessable, "'fnlwgt' has a null, at value 1"),
        (parquet(with_column("race", [None, *"abcd"])), PARQUET, Unprocessable,
         "instances[0].race: expected a string, got"),
        (parquet(with_column("age", pd.Timestamp("2026-01-01"))), PARQUET, Unprocessable,
         "'age' has the type timestamp"),
        (parquet(with_column("age", [[[1.0]]] * 5)), PARQUET, Unprocessable, "'age' has the type list<"),
        (parquet(with_column("age", [{"a": 1}] * 5)), PARQUET, Unprocessable, "'age' has the type struct<"),
        (parquet(pa.table({"age": untouched_nulls(4000, MEGA)})), PARQUET, Unreadable,
         "values of more than 32 bytes of fixed length"),
        (parquet(pa.table({"age": pa.array([None] * 4000, pa.binary(16))})), PARQUET, Unprocessable,
         "'age' has the type fixed_size_binary[16]; expected numbers, strings"),
        (parquet(frame(0)), PARQUET, Unprocessable, "has no rows"),
        (parquet(frame(4097)), PARQUET, TooLarge, "has 4097 instances; expected at most 4096"),
        (parquet(pd.DataFrame({"age": [[1.0] * 9]})), PARQUET, TooLarge,
         "9 values in 1 rows; expected at most 1 in a row"),
        (parquet(frame(), use_dictionary=False, column_encoding={"race": "DELTA_BYTE_ARRAY"}), PARQUET, Unreadable,
         "DELTA_BYTE_ARRAY is not supported"),
        (b"{}", "text/csv", UnknownMediaType, "'text/csv' is not supported"),
    ],
)  # fmt: skip
def test_bodies_that_are_refused(body: bytes, media_type: str, error: type[RequestError], message: str) -> None:
    with pytest.raises(error) as refusal:
        read(body, media_type)
    assert message in refusal.value.detail


def test_a_file_is_measured_by_its_pages_and_not_by_its_own_words() -> None:
    table = frame(2000)
    for options in ({}, {"compression": "zstd"}, {"data_page_version": "2.0", "data_page_size": 1000}):
        body = parquet(table, **options)
        metadata = pq.read_metadata(io.BytesIO(body))
        measured = measure(body)
        assert (measured.rows, measured.values) == (2000, 2000)
        group = metadata.row_group(0)
        declared = sum(group.column(at).total_uncompressed_size for at in range(group.num_columns))
        decoded = 2000 * (6 * 8 + 8 * 80)
        assert 0.9 * declared < measured.memory_bytes - decoded <= declared


def test_sizes_that_arrow_would_believe_are_refused() -> None:
    body = parquet(pa.table({"message": ["a", "b"] * 100}), compression="none")
    assert measure(body).rows == 200
    for before, after, message in (
        (b"\x4c\x15\x04", b"\x4c\x15\x7e", "a dictionary has more values than its page has bytes"),
        (b"\x15\x00\x16\x90\x03", b"\x15\x00\x16\x92\x03", "a column does not have as many values as it declares"),
    ):
        assert body.count(before) == 1
        with pytest.raises(Unreadable, match=message):
            read(body.replace(before, after), PARQUET, STRINGS)


def test_a_text_repeated_by_a_dictionary_is_kept_once() -> None:
    repeated = pa.DictionaryArray.from_arrays(np.zeros(4000, np.int32), ["x" * 100_000])
    body = parquet(pa.table({"message": repeated}), store_schema=False)
    assert len(body) < 200_000
    rows = read(body, PARQUET, STRINGS)
    assert len({id(text) for text in rows.fixed["message"].flat}) == 1


def test_packed_files_count_as_what_they_take() -> None:
    reader = NamedReader(TOKENS)
    zeros = parquet(pa.table({name: [[0] * 32] * 4096 for name in TOKENS.names}), compression="zstd")
    assert finish(reader.opening(zeros, PARQUET, 4096, MEGA)).extra_bytes > 10 * len(zeros)
    packed = npz({name: np.zeros((2000, 32), np.int64) for name in TOKENS.names}, packed=True)
    assert finish(reader.opening(packed, NPZ, 4096, 2 * MEGA)).extra_bytes > 1_000_000 - len(packed)


def test_thrift_is_read_within_its_bytes() -> None:
    assert read_struct(memoryview(b"\x15\x04\x00"), 0, 3) == ({1: 2}, 3)
    assert read_struct(memoryview(b"\x18\x02ab\x19\x25\x02\x03\x00"), 0, 9) == ({1: b"ab", 2: [1, -2]}, 9)
    for data in (b"", b"\x15", b"\x15" + b"\xff" * 10, b"\x18\x7fab", b"\x19\xf5\xff\xff\x03", b"\x1c" * 40,
                 b"\x15\x04\x05\x02\x04\x00", b"\x1d"):  # fmt: skip
        with pytest.raises(Malformed):
            read_struct(memoryview(data), 0, len(data))


def test_a_cut_file_is_refused() -> None:
    body = parquet(frame(50))
    for at in range(0, len(body) - 12, 37):
        with pytest.raises(RequestError):
            read(body[:at] + body[at + 1 :], PARQUET)
        assert zlib.crc32(body)


def test_strings_of_equal_content_share_their_memory() -> None:
    rows = read(npz({"message": np.array(["ab", "cd"] * 2000)}), NPZ, STRINGS)
    assert len({id(text) for text in rows.fixed["message"].flat}) == 2
