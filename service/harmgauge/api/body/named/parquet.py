"""Reads a table in Parquet: columns by the name of an input or of a column (Arrow, an extra)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harmgauge.api.body.named.arrays import Arrays, Ragged, rows_of_arrays
from harmgauge.api.body.named.parquet_pages import MAX_FOOTER_BYTES, measure
from harmgauge.api.body.named.plan import Plan
from harmgauge.api.said import quoted
from harmgauge.bundle.inputs import Input
from harmgauge.bundle.named_inputs import TEXT, free_axis
from harmgauge.bundle.named_rows import NamedRows
from harmgauge.bundle.rows import Array
from harmgauge.errors import TooLarge, Unprocessable, Unreadable

_LIMITS: dict[str, Any] = {
    "thrift_string_size_limit": MAX_FOOTER_BYTES,
    "thrift_container_size_limit": MAX_FOOTER_BYTES,
}


class ParquetBody(NamedTuple):
    """A file whose size is known, but of which nothing has been decoded. `memory_bytes` are those of its rows;
    `is_text` if it has texts instead of inputs.
    """

    file: pq.ParquetFile
    names: list[str]
    rows: int
    memory_bytes: int
    is_text: bool


def open_parquet(body: bytes | bytearray, plan: Plan, max_rows: int, *, texts: bool) -> ParquetBody:
    """Open and measure a file; with `texts`, a column of texts may replace all inputs.

    Raises Unreadable, TooLarge or Unprocessable.
    """
    try:
        measured = measure(body)
        file = _opened(body, [])
        schema = file.schema_arrow
        strings = [field.name for field in schema if _is_string(field.type)]
        if strings:  # as dictionaries: equal strings are decoded, and kept, once
            file = _opened(body, strings)
        names, types = list(schema.names), list(schema.types)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"The body is not a readable Parquet file: {_short(error)}.") from None
    if measured.rows > max_rows:
        raise TooLarge(f"The request has {measured.rows} instances; expected at most {max_rows}: split it.")
    if measured.rows < 1:
        raise Unprocessable("The Parquet file has no rows; expected at least one.")
    longest = max(1, plan.inputs.maximum or 1, *(found.shape[0] or 1 for found in plan.inputs.inputs if found.shape))
    if measured.values > measured.rows * longest:
        raise TooLarge(
            f"A column has {measured.values} values in {measured.rows} rows; expected at most {longest} in a row."
        )
    is_text = texts and TEXT in names
    known = {TEXT} if is_text else {*plan.keys, *plan.inputs.names}
    for name in names:
        if name not in known:
            raise Unprocessable(
                f"Unknown column {quoted(name)}; known: {', '.join(map(quoted, sorted(known)[:5]))}. Leave out columns "
                "that the classifier does not take, and the index (index=False in pandas)."
            )
    if len(set(names)) < len(names):
        raise Unprocessable("The Parquet file has two columns with the same name.")
    for name, kind in zip(names, types, strict=True):
        if not _is_known(kind.value_type if _is_list(kind) else kind):  # one null of another type may take megabytes
            raise Unprocessable(
                f"The column {quoted(name)} has the type {str(kind)[:60]}; expected numbers, strings or lists of them."
            )
    return ParquetBody(file, names, measured.rows, measured.memory_bytes, is_text)


def _opened(body: bytes | bytearray, strings: list[str]) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(pa.py_buffer(body)), read_dictionary=strings, **_LIMITS)


def read_parquet(opened: ParquetBody, plan: Plan, max_rows: int) -> NamedRows:
    """Decode the rows. Raises Unreadable, TooLarge or Unprocessable."""
    try:
        arrays = _decoded(opened, plan)
    except UnicodeDecodeError:
        raise Unreadable("The Parquet file has strings that are not UTF-8.") from None
    return rows_of_arrays(arrays, plan, max_rows)


def read_texts(opened: ParquetBody) -> list[str]:
    """The texts of the column of texts. Raises Unreadable or Unprocessable."""
    column = _table(opened).column(TEXT)
    if not _holds_strings(column.type) or column.null_count:
        raise Unprocessable(f"The column {TEXT!r}: expected strings without nulls.")
    try:
        texts: list[str] = _strings(column).tolist()
    except UnicodeDecodeError:
        raise Unreadable("The Parquet file has strings that are not UTF-8.") from None
    return texts


def _decoded(opened: ParquetBody, plan: Plan) -> Arrays:
    table = _table(opened)
    arrays: dict[str, Array | Ragged] = {}
    for name in opened.names:
        field = plan.fields.get(name)
        found = plan.inputs.by_name[name] if field is None else field.input
        arrays[name] = _array(
            name, table.column(name), found, is_column=field is not None and field.position is not None
        )
    return arrays


def _table(opened: ParquetBody) -> pa.Table:
    try:
        table = opened.file.read(use_threads=False)
        table.validate(full=True)  # reading checks neither the indices of dictionaries nor UTF-8
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"The Parquet file cannot be decoded: {_short(error)}.") from None
    if table.num_rows != opened.rows:
        raise Unreadable("The Parquet file has fewer rows than it declares.")
    return table


def _array(name: str, column: pa.ChunkedArray, found: Input, *, is_column: bool) -> Array | Ragged:
    if column.null_count == len(column) and not _is_list(column.type):  # pandas gives it any type
        column = pa.chunked_array([pa.nulls(len(column), pa.string() if found.is_text else pa.float64())])
    if _holds_strings(column.type):
        return _strings(column)
    combined = column.combine_chunks()
    if pa.types.is_dictionary(combined.type):
        combined = combined.dictionary_decode()
    kind = combined.type
    if not _is_list(kind):
        return _numbers(name, combined, found)
    if combined.null_count:
        raise Unprocessable(f"The column {quoted(name)} has nulls; expected a list in each row.")
    flat = combined.flatten()
    values = _strings(pa.chunked_array([flat])) if _holds_strings(flat.type) else _numbers(name, flat, found)
    lengths = np.asarray(pc.list_value_length(combined)).astype(np.int64)
    if free_axis(found) is not None:
        return Ragged(values, lengths)
    if is_column or len(found.shape) != 1 or (lengths != found.shape[0]).any():
        due = "one value" if is_column else f"a list of shape {list(found.shape)}"
        raise Unprocessable(f"The column {quoted(name)}: expected {due} in each row.")
    return values.reshape(len(lengths), -1)


def _strings(column: pa.ChunkedArray) -> Array:
    """Strings as objects, None for null; equal ones share their memory."""
    parts = []
    for chunk in column.chunks:
        encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        known = np.array([*encoded.dictionary.to_pylist(), None], object)
        parts.append(known[np.asarray(encoded.indices.fill_null(len(known) - 1))])
    return np.concatenate(parts)


def _numbers(name: str, values: pa.Array, found: Input) -> Array:
    """Numbers, with NaN for null."""
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if values.null_count and not found.missing:
        at = int(np.argmax(np.asarray(values.is_null())))
        raise Unprocessable(
            f"The column {quoted(name)} has a null, at value {at}; this input accepts no missing values."
        )
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _is_known(kind: pa.DataType) -> bool:
    """Whether columns may have this type, or lists of it."""
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return bool(is_number or _holds_strings(kind) or pa.types.is_null(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _holds_strings(kind: pa.DataType) -> bool:
    return _is_string(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
